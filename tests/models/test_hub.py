"""Pushing and pulling beside a hub of this process, over a socket."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hub_server import OF_OTHERS, TOKEN, Hub

import segjax
from segjax import models
from segjax.models import saved
from segjax.models.pretrained import open_pretrained

# The client reads its hub's address when it is imported, and waits between tries.
ASK = """
import os, sys, time
time.sleep = lambda seconds: None
from segjax.cli import main
for token, arguments in eval(sys.argv[1]):
    os.environ["HF_TOKEN"] = token
    main(arguments)
    print("--", flush=True)
    print("--", file=sys.stderr, flush=True)
"""


QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    server = Hub()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model."""
    made = tmp_path_factory.mktemp("hub") / "saved"
    model, rng = models.unet(2, 4, depth=1), np.random.default_rng(0)
    variables = jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(x.dtype), saved.shapes(model, 3))
    segjax.save_pretrained(made, model, variables, models.About(("ground", "tree")))
    return made


def ask(address: str, home: Path, *asked: tuple[str, list[str]], **environment: str) -> list[tuple[str, str]]:
    """What the command line says to each, on stdout and stderr."""
    own = {"HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1", "HF_HUB_ETAG_TIMEOUT": "1", **QUIET, "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", ASK, repr(asked)],
        env={**os.environ, **own, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    both = [[part.strip() for part in text.split("--\n")[:-1]] for text in (done.stdout, done.stderr)]
    return list(zip(*both, strict=True))


def test_models_go_to_the_hub_and_come_back_pinned(hub: Hub, folder: Path, tmp_path: Path):
    (folder / "notes.py").write_text("raise SystemExit")
    files = {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors", "README.md")}
    first = hub.commit("others/many", files | {"modeling.py": b"raise SystemExit", "model.bin": b"\x80"})
    hub.commit("others/many", {"config.json": b"{}"})
    mine, theirs = tmp_path / "new" / "mine", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "config.json").write_text("of before")
    push = (TOKEN, ["push", str(folder), "me/trees", "--private"])
    pushed, again, pulled, other = ask(
        hub.address,
        tmp_path,
        push,
        push,
        ("", ["pull", "me/trees", str(mine)]),
        ("", ["pull", f"hub:others/many@{first}", str(theirs)]),
    )

    (_, empty), (commit, there) = hub.commits["me/trees"]  # what is there already makes no new commit
    assert pushed == again == pulled == (f"me/trees@{commit}", "")
    assert hub.private["me/trees"]
    assert there == empty | files
    assert any(asked.startswith("PUT /large/") for asked in hub.asked)
    assert {file.name: file.read_bytes() for file in mine.iterdir() if file.name != "pulled.json"} == files
    assert os.listdir(mine.parent) == ["mine"]
    model, variables, about = open_pretrained(mine)
    assert about.source == f"hub:me/trees@{commit}"
    segjax.save_pretrained(tmp_path / "further", model, variables, about)
    assert f"- From: {about.source}\n" in (tmp_path / "further" / "README.md").read_text()

    assert other == (f"others/many@{first}", "")
    assert sorted(os.listdir(theirs)) == ["README.md", "config.json", "model.safetensors", "pulled.json"]
    assert (theirs / "config.json").read_bytes() == files["config.json"]
    assert json.loads((theirs / "pulled.json").read_text()) == {"repository": "others/many", "revision": first}
    assert not any(".py" in asked or ".bin" in asked for asked in hub.asked)


def test_what_does_not_work_gets_one_sentence(hub: Hub, folder: Path, tmp_path: Path):
    files = {name: (folder / name).read_bytes() for name in ("config.json", "model.safetensors")}
    for repository in ("others/gated", "others/cut"):
        hub.commit(repository, files)
    hub.gated.add("others/gated")
    hub.cuts_downloads_of.add("others/cut")
    hub.commit("others/data", {"README.md": b""})
    hub.cuts_uploads = True
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").touch()
    (tmp_path / "file").touch()
    new = str(tmp_path / "new")
    refused: list[tuple[str, list[str], str]] = [
        ("", ["push", str(folder), "me/one"], "without a token: run `hf auth login`, or set HF_TOKEN, and run this"),
        ("hf_wrong", ["push", str(folder), "me/one"], "does not let you do this with me/one: run `hf auth login`"),
        (OF_OTHERS, ["push", str(folder), "me/one"], "does not let you do this with me/one: run `hf auth login`"),
        (TOKEN, ["push", str(folder), "me/one"], f"{folder} could not be written to me/one of the Hugging Face hub: c"),
        (TOKEN, ["push", str(folder), "a//b"], "a//b is no name of the Hugging Face hub"),
        (TOKEN, ["push", str(tmp_path / "none"), "me/one"], "none is not a folder; name the one that segjax.save_pre"),
        (TOKEN, ["push", str(run), "me/one"], "run is a run: save its model first, with segjax.save_pretrained"),
        (TOKEN, ["push", str(tmp_path), "me/one"], "has no config.json: give the folder that save_pretrained wrote"),
        ("", ["pull", "others/none", new], "The Hugging Face hub has no others/none, or asks for a login: mend the"),
        ("", ["pull", "others/gated@none", new], "The Hugging Face hub has no others/gated at none: mend the name."),
        ("", ["pull", "others/gated", new], "others/gated asks for a login: accept its terms on https://huggingface."),
        ("", ["pull", "others/data", new], "others/data at main has no config.json: it is no saved model; name anoth"),
        ("", ["pull", "others/cut", new], "others/cut at main could not be fetched from the Hugging Face hub: check"),
        (
            "",
            ["pull", "others/cut", str(tmp_path / "file" / "x")],
            "cannot be written (File exists): choose another fo",
        ),
    ]
    answers = ask(hub.address, tmp_path, *(asked[:2] for asked in refused))
    hub.cuts_uploads = False
    for (_, arguments, sentence), (out, said) in zip(refused, answers, strict=True):
        assert out == "", arguments
        assert said.startswith("segjax: "), arguments
        assert sentence in said
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "new").exists()
    assert [len(commits) for name, commits in hub.commits.items() if name == "me/one"] == [1]  # made, and left empty


def test_no_hub_is_said(folder: Path, tmp_path: Path):
    pytest.importorskip("huggingface_hub")
    asked: list[tuple[str, list[str]]] = [
        (TOKEN, ["push", str(folder), "me/one"]),
        ("", ["pull", "me/one", str(tmp_path / "new")]),
    ]
    answers: Any = ask("http://127.0.0.1:9", tmp_path, *asked)
    assert "could not be written to me/one of the Hugging Face hub: check the network and run again." in answers[0][1]
    assert "me/one at main could not be fetched from the Hugging Face hub: check the network and" in answers[1][1]
