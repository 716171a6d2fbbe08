"""YAML as kubeadm writes it, for the lab's documents of mappings, lists and scalars. (A library would be a dependency.)"""

import json
import re

PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./:=,-]*|--[A-Za-z0-9_./:=,-]+")
WORDS = ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


def scalar(value):
    if isinstance(value, str) and PLAIN.fullmatch(value) and not value.endswith(":") and value.lower() not in WORDS:
        return value
    return json.dumps(value)


def lines(value):
    if isinstance(value, dict) and value:
        for key in sorted(value):
            inner = value[key]
            if isinstance(inner, (dict, list)) and inner:
                yield f"{key}:"
                # kubeadm does not indent lists.
                indent = "  " if isinstance(inner, dict) else ""
                yield from (indent + line for line in lines(inner))
            else:
                yield f"{key}: {scalar(inner)}"
    elif isinstance(value, list) and value:
        for item in value:
            first, *rest = lines(item)
            yield "- " + first
            yield from ("  " + line for line in rest)
    else:
        yield scalar(value)


def yaml(document):
    return "\n".join(lines(document)) + "\n"
