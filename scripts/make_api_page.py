#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/api.md, the reference of lodged's API, out of the OpenAPI
document docs/api/openapi.yaml. With --check it says whether the page is that
of the document."""
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "api" / "openapi.yaml"
PAGE = ROOT / "docs" / "api.md"
HEAD = """# Reference of the API

<!-- Made by scripts/make_api_page.py of api/openapi.yaml. Change that. -->
"""


def line(text):
    """A text for a cell or a paragraph of one line."""
    return re.sub(r"\s+", " ", text or "").strip().replace("|", "\\|")


class Page:
    def __init__(self, document):
        self.document = document
        self.lines = [HEAD]

    def resolve(self, part):
        while "$ref" in part:
            more = {k: v for k, v in part.items() if k != "$ref"}
            found = self.document
            for name in part["$ref"][2:].split("/"):
                found = found[name]
            part = {**found, **more}
        return part

    def write(self, *lines):
        self.lines += lines

    # Types.

    def kind(self, schema):
        """A few words for what a value is."""
        if "$ref" in schema:
            name = schema["$ref"].split("/")[-1]
            return f"[{name}](#{name.lower()})"
        if "const" in schema:
            return f"`{schema['const']}`"
        if "enum" in schema:
            return ", ".join(f"`{v}`" for v in schema["enum"])
        for word in "oneOf", "anyOf":
            if word in schema:
                return " or ".join(self.kind(s) for s in schema[word])
        kind = schema.get("type", "any")
        if isinstance(kind, list):
            return " or ".join(kind)
        if kind == "array":
            return "list of " + self.kind(schema.get("items", {}))
        return kind + self.limits(schema)

    @staticmethod
    def limits(schema):
        words = []
        if "minimum" in schema or "maximum" in schema:
            words.append(f"{schema.get('minimum', '')}..."
                         f"{schema.get('maximum', '')}")
        if "pattern" in schema:
            words.append(f"`{schema['pattern']}`".replace("|", "\\|"))
        if "default" in schema:
            words.append(f"{schema['default']} without it")
        return f" ({'; '.join(words)})" if words else ""

    def members(self, schema, prefix=""):
        schema = self.resolve(schema)
        required = schema.get("required", [])
        for name, value in schema.get("properties", {}).items():
            whole = self.resolve(value)
            mark = "" if name in required else " (may be missing)"
            yield (prefix + name, self.kind(value) + mark,
                   line(value.get("description") or
                        ("" if "$ref" in value else
                         whole.get("description"))))
            inner = value.get("items", value)
            if "$ref" not in inner and "properties" in inner:
                end = "[]." if "items" in value else "."
                yield from self.members(inner, prefix + name + end)

    def table(self, head, rows):
        self.write("| " + " | ".join(head) + " |",
                   "|" + "---|" * len(head))
        for row in rows:
            self.write("| " + " | ".join(row) + " |")
        self.write("")

    # Operations.

    def operations(self):
        for path, item in self.document["paths"].items():
            shared = item.get("parameters", [])
            for method, operation in item.items():
                if method != "parameters":
                    yield path, method.upper(), operation, shared

    def write_operation(self, path, method, operation, shared):
        self.write(f"### {operation['operationId']}", "",
                   f"`{method} {path}`, role `{operation['x-role']}`: "
                   f"{line(operation['summary'])}.", "")
        if operation.get("description"):
            self.write(operation["description"].strip(), "")
        parameters = [self.resolve(p) for p in
                      shared + operation.get("parameters", [])]
        if parameters:
            self.table(("parameter", "in", "value", ""),
                       [(f"`{p['name']}`", p["in"],
                         self.kind(p.get("schema", {})),
                         line(p.get("description"))) for p in parameters])
        body = self.resolve(operation.get("requestBody", {}))
        for kind, content in body.get("content", {}).items():
            self.write(f"The body, `{kind}`:", "")
            rows = [(f"`{n}`", k, d) for n, k, d in
                    self.members(content["schema"])]
            if rows:
                self.table(("member", "value", ""), rows)
            else:
                self.write(self.kind(content["schema"]) + ".", "")
        for status, response in operation["responses"].items():
            self.write_response(status, response)
        self.write("")

    def write_response(self, status, response):
        whole = self.resolve(response)
        if status == "default":
            self.write("- otherwise: [Problem](#problem)")
            return
        kinds = [self.kind(c["schema"]) + ("" if "json" in k else f", `{k}`")
                 for k, c in whole.get("content", {}).items()]
        self.write(f"- {status}: {line(whole['description'])}"
                   + (" " + ", ".join(kinds) if kinds else ""))
        for kind, content in whole.get("content", {}).items():
            schema = content["schema"]
            if "$ref" in schema or "json" not in kind:
                continue
            for name, value, text in self.members(schema):
                self.write(f"  - `{name}`: {value}"
                           + (f". {text}" if text else ""))

    def write_schema(self, name, schema):
        self.write(f"### {name}", "")
        if schema.get("description"):
            self.write(line(schema["description"]), "")
        rows = [(f"`{n}`", k, d) for n, k, d in self.members(schema)]
        if rows:
            self.table(("member", "value", ""), rows)
        else:
            self.write(self.kind(schema), "")

    def make(self):
        self.write(self.document["info"]["description"].strip(), "",
                   "What to do with it, with examples: [daemon.md]"
                   "(daemon.md#the-api).", "", "## Operations", "")
        self.table(("operation", "role", ""), [
            (f"[`{method} {path}`](#{operation['operationId'].lower()})",
             operation["x-role"], line(operation["summary"]))
            for path, method, operation, _ in self.operations()])
        for operation in self.operations():
            self.write_operation(*operation)
        self.write("## Values", "")
        for name, schema in self.document["components"]["schemas"].items():
            self.write_schema(name, schema)
        return re.sub(r"\n{3,}", "\n\n", "\n".join(self.lines)).rstrip() + "\n"


def main():
    page = Page(yaml.safe_load(DOCUMENT.read_text())).make()
    if sys.argv[1:] == ["--check"]:
        if PAGE.exists() and PAGE.read_text() == page:
            return 0
        print("docs/api.md is not that of docs/api/openapi.yaml; "
              "run scripts/make_api_page.py")
        return 1
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
