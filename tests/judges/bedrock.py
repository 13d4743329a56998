#!/usr/bin/env python3
"""botocore judges Converse requests: the service model that AWS publishes is the truth about their shape.

    bedrock.py REQUEST.json...    each is a body of Converse (or of CountTokens: {"input": ...})

Members, types, lengths, ranges, patterns, enumerations and unions are checked, and that nothing stands in a body
that the model does not know. Says what is wrong with the member's path and exits non-zero.
"""

import base64
import binascii
import json
import re
import sys
from pathlib import Path

import botocore.loaders
import botocore.model
import botocore.validate

MODEL_ID = "us.anthropic.claude-sonnet-4-6"


def service():
    loader = botocore.loaders.Loader()
    return botocore.model.ServiceModel(loader.load_service_model("bedrock-runtime", "service-2"))


def native(shape, value, path, faults):
    """The value as a caller of botocore would give it: blobs are bytes there and base64 on the wire. What
    botocore's own validator does not look at (enumerations, patterns, unions, longest lengths) is checked here."""
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return value
        if not isinstance(value, dict):
            return value  # The validator says so.
        if getattr(shape, "is_tagged_union", False) and len(value) != 1:
            faults.append(f"{path}: a union has one member, and not {sorted(value)}")
        out = {}
        for name, inner in value.items():
            if name not in shape.members:
                faults.append(f"{path}.{name}: no such member")
            else:
                out[name] = native(shape.members[name], inner, f"{path}.{name}", faults)
        return out
    if kind == "list" and isinstance(value, list):
        bounded(shape, len(value), path, faults)
        return [native(shape.member, inner, f"{path}[{n}]", faults) for n, inner in enumerate(value)]
    if kind == "map" and isinstance(value, dict):
        bounded(shape, len(value), path, faults)
        for key in value:
            native(shape.key, key, f"{path} (key {key!r})", faults)
        return {key: native(shape.value, inner, f"{path}.{key}", faults) for key, inner in value.items()}
    if kind == "blob":
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            faults.append(f"{path}: no base64")
            return b""
    if kind == "string" and isinstance(value, str):
        bounded(shape, len(value), path, faults)
        if shape.enum and value not in shape.enum:
            faults.append(f"{path}: {value!r} is none of {shape.enum}")
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            faults.append(f"{path}: {value!r} does not match {pattern}")
    if kind in ("integer", "long", "float", "double") and isinstance(value, (int, float)):
        bounded(shape, value, path, faults)
    return value


def bounded(shape, size, path, faults):
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least or most is not None and size > most:
        faults.append(f"{path}: {size} is not within {least} and {most}")


def names(body, faults):
    """What the documents ask for beyond the model: names of documents, and turns that alternate."""
    found = []

    def walk(value):
        if isinstance(value, dict):
            if isinstance(value.get("document"), dict):
                found.append(value["document"].get("name", ""))
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(body.get("messages", []))
    for name in found:
        if not re.fullmatch(r"[A-Za-z0-9\-()\[\]]+( [A-Za-z0-9\-()\[\]]+)*", name):
            faults.append(f"messages: a document must not be called {name!r}")
    if len(set(found)) != len(found):
        faults.append(f"messages: two documents have the same name: {found}")
    roles = [message.get("role") for message in body.get("messages", [])]
    if roles and roles[0] == "assistant":
        faults.append("messages[0].role: the user begins")
    for n, (one, next_) in enumerate(zip(roles, roles[1:])):
        if one == next_:
            faults.append(f"messages[{n + 1}].role: {one} speaks twice in a row")
    points = json.dumps(body).count('"cachePoint"')
    if points > 4:
        faults.append(f"{points} cache points: four are allowed")


def judge(model, body):
    operation = model.operation_model("CountTokens" if set(body) == {"input"} else "Converse")
    faults = []
    params = native(operation.input_shape, body, "body", faults)
    params["modelId"] = MODEL_ID
    report = botocore.validate.ParamValidator().validate(params, operation.input_shape)
    if report.has_errors():
        faults.append(report.generate_report())
    if operation.name == "Converse":
        names(body, faults)
    return faults


def main(paths):
    model, bad = service(), 0
    for path in paths:
        for fault in judge(model, json.loads(Path(path).read_text())):
            print(f"{path}: {fault}")
            bad += 1
    print(f"botocore {botocore.__version__}: {len(paths)} requests judged, {bad} faults")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main(sys.argv[1:])
