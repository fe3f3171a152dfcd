"""The OpenAPI document of the server (OpenAPI 3.1)."""

from typing import Any

from segjax import __version__
from segjax.serve.answers import TYPES
from segjax.serve.limits import Limits
from segjax.serve.reading import OTHERS
from segjax.serve.served import Served

_ERROR = {"$ref": "#/components/schemas/Error"}
_REFUSALS = {
    406: "Nothing that the request accepts is made here",
    408: "The image did not come in time",
    413: "Too many bytes or pixels",
    415: "No image of pixels",
    422: "An image that cannot be read or predicted, or an unknown output or label",
    503: "Too many requests are under way; `Retry-After` says when to come again",
    504: "No answer in time",
}
_BINARY = {"type": "string", "format": "binary"}
_OBJECT = {
    "type": "object",
    "required": ["class", "label", "box", "score"],
    "properties": {
        "class": {"type": "string"},
        "label": {"type": "integer", "description": "The number of the class, from 0"},
        "box": {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
            "description": "x, y, width and height in pixels of the upright image",
        },
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "attributes": {"type": "object", "additionalProperties": {"type": "number"}},
    },
}
_PNG = {"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}
_MASK = {
    "type": "object",
    "properties": {
        "label": {"type": ["string", "null"], "description": "Whose mask it is, of labels that may overlap"},
        "png": _PNG,
        "painted": {**_PNG, "description": "The same in the colours of the classes, of more than 255"},
    },
}
_MEANING = {
    "mask": "An image whose pixels are the classes, all bits set where there is no data; of 8 bits with a palette",
    "json": "Boxes, and masks as PNG in base64, as far as the model finds such",
    "probabilities": "NumPy's .npy of float32 (height, width, classes)",
}


def document(served: Served, limits: Limits) -> dict[str, Any]:
    """What can be asked of the server, with the outputs and labels of its model."""
    parameters = [_parameter("output", served.outputs, "What is asked for; the header Accept says it otherwise")]
    labels = served.tells.labels
    if labels is not None and labels.overlap:
        parameters.append(_parameter("label", labels.class_names, "Whose mask is asked for"))
    schemas = {"mask": _BINARY, "json": {"$ref": "#/components/schemas/Found"}, "probabilities": _BINARY}
    found = {
        "description": "; ".join(f"{TYPES[name]}: {_MEANING[name]}" for name in served.outputs),
        "content": {TYPES[name]: {"schema": schemas[name]} for name in served.outputs},
    }
    refusals = {
        str(status): {"description": why, "content": {"application/json": {"schema": _ERROR}}}
        for status, why in _REFUSALS.items()
    }
    form = {"type": "object", "properties": {"image": _BINARY}}
    predict = {
        "operationId": "predict",
        "summary": "What the model finds in an image",
        "description": f"At most {limits.body} MiB and {limits.pixels} megapixels, in {limits.seconds:g} seconds.",
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {kind: {"schema": _BINARY} for kind in ("image/*", *OTHERS)}
            | {"multipart/form-data": {"schema": form}},
        },
        "responses": {"200": found, **refusals},
    }
    length = {"type": "integer", "description": "Pixels of the upright image"}
    properties = {
        "width": length,
        "height": length,
        "boxes": {"type": "array", "items": _OBJECT},
        "masks": {"type": "array", "items": _MASK},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": f"segjax serve {served.name}", "version": __version__},
        "paths": {
            "/predict": {"post": predict},
            "/metadata": {"get": _plain("metadata", "Names, colours, normalisation, licence, limits and versions")},
            "/health": {"get": _plain("health", "Whether the server answers, and how many requests are under way")},
        },
        "components": {
            "schemas": {
                "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
                "Found": {"type": "object", "properties": properties},
            }
        },
    }


def _parameter(name: str, values: Any, description: str) -> dict[str, Any]:
    schema = {"type": "string", "enum": list(values)}
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _plain(name: str, summary: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {"operationId": name, "summary": summary, "responses": {"200": {"description": summary, "content": content}}}
