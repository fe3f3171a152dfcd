"""ONNX Runtime for the browser, of which a page that runs a model has copies beside it (MIT licence)."""

from pathlib import Path

from segjax.cache import fetch_npm

VERSION = "1.30.0"
SCRIPT = "ort.wasm.min.mjs"
"""What a page imports; it imports and reads the other files from where it is itself."""


def runtime_files() -> tuple[Path, ...]:
    """The paths of `SCRIPT`, and of the module and the program (14 MB of WebAssembly) that it loads by name.

    With one thread (`ort.env.wasm.numThreads = 1`) the page needs no isolation from other origins.

    Raises:
        DataError: they are not there and cannot be fetched; the sentence says what to do.
    """
    return fetch_npm(
        "onnxruntime-web",
        VERSION,
        "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71",
        {
            f"dist/{SCRIPT}": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
            "dist/ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
            "dist/ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
        },
    )
