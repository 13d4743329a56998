"""Judges requests for Gemini by the types of google-genai (3.4.0).

    python tests/judges/gemini.py FILE...

Each file holds one body of generateContent. Exits with 1 and names file and member when a body has a member that
the official client would not send, or one of the wrong type.
"""

import json
import sys
import warnings

from google.genai import types
from pydantic import TypeAdapter, ValidationError

# Members of the body that the client takes from its `config` argument.
OUTSIDE = ("systemInstruction", "tools", "toolConfig", "serviceTier", "safetySettings", "cachedContent", "labels")


def strictly(value, path=""):
    """Numbers of the body are numbers, and no member is null: the types would let both pass."""
    if value is None:
        yield f"{path}: null"
    elif isinstance(value, dict):
        for name, inner in value.items():
            # Schemas, arguments and results are the caller's own.
            if name not in ("parametersJsonSchema", "responseJsonSchema", "args", "response"):
                yield from strictly(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for n, inner in enumerate(value):
            yield from strictly(inner, f"{path}[{n}]")


def judge(body):
    yield from strictly(body)
    config = dict(body.get("generationConfig", {}))
    config.update({name: body[name] for name in OUTSIDE if name in body})
    for name in body.keys() - {"contents", "generationConfig", *OUTSIDE}:
        yield f".{name}: not a member"
    for adapter, value, at in (
        (TypeAdapter(list[types.Content]), body.get("contents"), ".contents"),
        (TypeAdapter(types.GenerateContentConfig), config, ".config"),
        (TypeAdapter(types.GenerationConfig), body.get("generationConfig", {}), ".generationConfig"),
    ):
        try:
            adapter.validate_json(json.dumps(value))
        except ValidationError as error:
            for one in error.errors():
                # Unions of the config name each of their arms: the innermost place tells.
                yield f"{at}.{'.'.join(map(str, one['loc']))}: {one['msg']}"
        except UserWarning as warning:
            # A word that is none of an enumeration's is no error to the types.
            yield f"{at}: {warning}"


def main():
    failed = False
    for name in sys.argv[1:]:
        with open(name, encoding="utf-8") as file:
            for complaint in judge(json.load(file)):
                failed = True
                print(f"{name}: {complaint}")
    return int(failed)


if __name__ == "__main__":
    assert types.Part.model_config.get("extra") == "forbid", "the types no longer refuse unknown members"
    warnings.simplefilter("error", UserWarning)
    sys.exit(main())
