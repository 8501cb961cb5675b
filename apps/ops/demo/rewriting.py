"""Rewriting Python source by its syntax tree: dataclasses, type hints, renames. Pure: text in, text out.

What cannot be rewritten safely stays as it is; a text that does not parse raises ``SyntaxError``.
"""

from __future__ import annotations

import ast
import io
import keyword
import re
import tokenize

Hints = dict[str, str]
"""Type by name: of parameters and attributes, and of a function's result as ``name()``."""


def is_identifier(name: str) -> bool:
    """Tell whether ``name`` can name something in Python."""
    return name.isidentifier() and not keyword.iskeyword(name)


def rename(source: str, old: str, new: str) -> str:
    """Return Python ``source`` with the name ``old`` replaced by ``new``; strings and comments stay."""
    lines = source.splitlines(keepends=True)
    found = [
        token.start
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.NAME and token.string == old
    ]
    for row, column in reversed(found):
        line = lines[row - 1]
        lines[row - 1] = f"{line[:column]}{new}{line[column + len(old) :]}"
    return "".join(lines)


def rename_in_text(text: str, old: str, new: str) -> str:
    """Return prose (Markdown, a snippet of code) with the whole word ``old`` replaced."""
    return re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w-])", new, text)


def to_dataclasses(source: str, hints: Hints) -> str:
    """Return ``source`` with each plain class whose ``__init__`` only stores its arguments made a dataclass."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    changed = False
    for node in reversed([item for item in tree.body if isinstance(item, ast.ClassDef)]):
        init = _storing_init(node)
        if init is None or node.decorator_list or node.bases:
            continue
        fields = _fields(init, hints)
        end = init.end_lineno or init.lineno
        after = end + 1 if end < len(lines) and not lines[end].strip() and len(node.body) > 1 else end
        has_more = node.body[-1] is not init
        block = [f"    {field}\n" for field in fields] + (["\n"] if has_more else [])
        lines[init.lineno - 1 : after if has_more else end] = block
        lines.insert(node.lineno - 1, "@dataclass\n")
        changed = True
    return _with_import("".join(lines), "from dataclasses import dataclass") if changed else source


def _storing_init(node: ast.ClassDef) -> ast.FunctionDef | None:
    """Return the class's ``__init__`` when each of its lines is ``self.name = name`` for all its arguments."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__" and not item.args.kwonlyargs:
            names = [arg.arg for arg in item.args.args[1:]]
            body = [line for line in item.body if not _is_docstring(line)]
            stored = [ast.unparse(line) for line in body]
            return item if stored == [f"self.{name} = {name}" for name in names] and names else None
    return None


def _fields(init: ast.FunctionDef, hints: Hints) -> list[str]:
    arguments = init.args.args[1:]
    defaults: list[ast.expr | None] = [None] * (len(arguments) - len(init.args.defaults)) + list(init.args.defaults)
    return [
        f"{arg.arg}: {_type(arg, default, hints)}" + (f" = {ast.unparse(default)}" if default is not None else "")
        for arg, default in zip(arguments, defaults, strict=True)
    ]


def _type(arg: ast.arg, default: ast.expr | None, hints: Hints) -> str:
    if arg.annotation is not None:
        return ast.unparse(arg.annotation)
    if arg.arg in hints:
        return hints[arg.arg]
    if isinstance(default, ast.Constant) and default.value is not None:
        return type(default.value).__name__
    return "object"


def add_hints(source: str, hints: Hints) -> str:
    """Return ``source`` with annotations on the parameters and results that have none and whose type is known."""
    tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    edits = [edit for node in functions for edit in _hint_edits(node, lines, hints)]
    for row, column, text in sorted(edits, reverse=True):
        # Columns of the tree count bytes of UTF-8.
        line = lines[row - 1].encode()
        lines[row - 1] = (line[:column] + text.encode() + line[column:]).decode()
    return "".join(lines)


def _hint_edits(node: ast.FunctionDef, lines: list[str], hints: Hints) -> list[tuple[int, int, str]]:
    edits = []
    arguments = node.args.args
    defaults: list[ast.expr | None] = [None] * (len(arguments) - len(node.args.defaults)) + list(node.args.defaults)
    for arg, default in zip(arguments, defaults, strict=True):
        known = _type(arg, default, hints)
        if arg.annotation is None and arg.arg not in {"self", "cls"} and known != "object":
            edits.append((arg.end_lineno or arg.lineno, arg.end_col_offset or 0, f": {known}"))
    result = _result(node, hints)
    colon = _colon(node, lines)
    if node.returns is None and result is not None and colon is not None:
        edits.append((*colon, f" -> {result}"))
    return edits


def _result(node: ast.FunctionDef, hints: Hints) -> str | None:
    if f"{node.name}()" in hints:
        return hints[f"{node.name}()"]
    inner = [item for item in ast.walk(node) if isinstance(item, ast.Return | ast.Yield | ast.YieldFrom)]
    gives = [item for item in inner if not isinstance(item, ast.Return) or item.value is not None]
    return None if gives else "None"


def _colon(node: ast.FunctionDef, lines: list[str]) -> tuple[int, int] | None:
    """Return the place of the colon that ends the function's head, when the head ends its line."""
    row = node.body[0].lineno - 1
    while row >= node.lineno:
        text = lines[row - 1].rstrip()
        if text.endswith(":") and ")" in text:
            return row, len(text.encode()) - 1
        row -= 1
    return None


def _with_import(source: str, statement: str) -> str:
    """Put an import after the docstring and the imports of the future."""
    if statement in source:
        return source
    lines = source.splitlines(keepends=True)
    place = 0
    for node in ast.parse(source).body:
        if not _is_docstring(node) and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        place = node.end_lineno or node.lineno
    rest = _unpadded(lines[place:])
    gap = [] if rest and rest[0].startswith(("import ", "from ")) else ["\n"]
    return "".join([*lines[:place], "\n" if place else "", f"{statement}\n", *gap, *rest])


def _unpadded(lines: list[str]) -> list[str]:
    return lines[1:] if lines and not lines[0].strip() else lines


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
