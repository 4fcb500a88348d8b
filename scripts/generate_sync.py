#!/usr/bin/env python3
"""Write the synchronous face of the engine from the source of the asynchronous one.

``generate_sync.py`` writes ``src/aetherium/app/sync/_generated.py``; with ``--check`` it writes nothing and exits 1
when that file is not what it would write. Whatever it does not understand in the source is an error: nothing is left
out unless a table below says so, and a row of a table that nothing needs is an error too.
"""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "src/aetherium/app/sync/_generated.py"


class Unsupported(Exception):
    """The source holds something that has no synchronous counterpart here."""

    def __init__(self, where: str, node: ast.AST | None, what: str) -> None:
        line = f":{node.lineno}" if node is not None and hasattr(node, "lineno") else ""
        super().__init__(f"{where}{line}: {what}")


@dataclass(frozen=True)
class Attribute:
    """What the source does not say of an instance attribute: its type, where none is written, and its docstring."""

    type: str = ""
    doc: str = ""


@dataclass(frozen=True)
class Face:
    """A class that gets a synchronous face; ``left_out`` names its public members that get none, with the reason."""

    module: str
    name: str
    left_out: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def sync_name(self) -> str:
        """The name of the synchronous class."""
        return f"Sync{self.name}"


_BY_OFFSET = "dict[Channel, int]"
FACES = (
    Face(
        "aetherium.core.guest.process",
        "Process",
        left_out={
            "start": "takes a connection; VMs.process starts one",
            "attach": "takes a connection; VMs.attach attaches to one",
            "__aenter__": "VMs.process and VMs.attach are the contexts",
            "__aexit__": "VMs.process and VMs.attach are the contexts",
        },
        attributes={
            "id": Attribute(doc="The command's id in its VM."),
            "pid": Attribute(doc="The command's process id in its VM."),
            "existing": Attribute(doc="Whether the command was there before: its key named one that had been started."),
            "started_at": Attribute("datetime", "When the command was started, by the VM's clock."),
            "lost": Attribute(_BY_OFFSET),
            "offsets": Attribute(_BY_OFFSET),
            "status": Attribute(doc="How the command ended, once ``read`` or ``wait`` has said so."),
        },
    ),
    Face("aetherium.core.guest.tunnel", "Tunnel"),
    Face("aetherium.core.vms", "VMs"),
    Face("aetherium.core.files", "Files"),
    Face("aetherium.ports.bus", "EventBus"),
    Face(
        "aetherium.core.engine",
        "Engine",
        left_out={"placement": "the composition's own", "drivers": "the composition's own"},
        attributes={
            "vms": Attribute(doc="Machines, and the commands in them."),
            "files": Attribute(doc="The file systems of machines."),
            "events": Attribute(doc="What happens, as it happens."),
        },
    ),
)
OPENER = ("aetherium.app.open", "open_", "open_sync")

RENAMES = {
    "AsyncIterator": "collections.abc.Iterator",
    "AsyncIterable": "collections.abc.Iterable",
    "AbstractAsyncContextManager": "contextlib.AbstractContextManager",
    "Input": "aetherium.app.sync.feed.SyncInput",
    "Data": "aetherium.app.sync.feed.SyncInput",
}
"""Names in annotations and what stands for them in the synchronous face."""

INPUTS = frozenset({"Input", "Data", "AsyncIterable"})
"""Names that make a parameter an input that is read while the call runs."""

REFUSED = frozenset({"Awaitable", "Coroutine", "Callable", "AsyncGenerator", "Future", "Task", "Any", "Self"})
"""Names in annotations without a counterpart: the loop's own things, and callbacks, which would run in its thread."""

WORDS = {
    "an async iterable": "an iterable",
    "``async with``": "``with``",
    "Cancelling an await": "Interrupting a call",
    "Cancelling kills": "Interrupting kills",
}
"""Words of docstrings that speak of asynchronous code."""


class Module:
    """A source file: its classes, functions and where its names come from."""

    def __init__(self, name: str, text: str | None = None) -> None:
        self.name = name
        if text is None:
            text = (ROOT / "src" / f"{name.replace('.', '/')}.py").read_text()
        self.tree = ast.parse(text)
        self._origins: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.ImportFrom):
                self._origins |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                self._origins |= {alias.asname or alias.name: alias.name for alias in node.names}
        for node in self.tree.body:
            for defined in _defined(node):
                self._origins[defined] = f"{name}.{defined}"

    def find(self, name: str) -> ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef:
        """Return a class or function of this module."""
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
                return node
        raise Unsupported(self.name, None, f"there is no {name}")

    def origin(self, name: str, node: ast.AST) -> str:
        """Return the full name behind a name; the name itself for a builtin."""
        if name in self._origins:
            return self._origins[name]
        if hasattr(builtins, name):
            return name
        raise Unsupported(self.name, node, f"cannot tell where {name} comes from")


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    yield from (target.id for target in targets if isinstance(target, ast.Name))


class Output:
    """What is written, and the names that it needs."""

    def __init__(self, faces: tuple[Face, ...]) -> None:
        self.faces = {f"{face.module}.{face.name}": face for face in faces}
        self.lines: list[str] = []
        self.imports: set[str] = set()
        self.words_used: set[str] = set()

    def need(self, full_name: str) -> str:
        """Import a name and return what to write for it."""
        module, _, name = full_name.rpartition(".")
        if module:
            self.imports.add(f"from {module} import {name}")
        return name

    def doc(self, text: str, indent: str) -> None:
        """Write a docstring, as it stands in the source but for ``WORDS``."""
        for word, plain in WORDS.items():
            if word in text:
                self.words_used.add(word)
                text = text.replace(word, plain)
        escaped = text.replace("\\", "\\\\").replace('"""', '\\"""')
        lines = escaped.split("\n")
        self.lines.append(f'{indent}"""{lines[0]}')
        self.lines.extend(f"{indent}{line}".rstrip() for line in lines[1:])
        if len(lines) > 1:
            self.lines.append(f'{indent}"""')
        else:
            self.lines[-1] += '"""'

    def text(self) -> str:
        """Return the whole module, formatted."""
        head = [
            '"""The engine\'s synchronous face.',
            "",
            "Made by scripts/generate_sync.py; change the source, not this.",
        ]
        head += ['"""', "", "from __future__ import annotations", "", *sorted(self.imports)]
        return _formatted("\n".join([*head, *self.lines, ""]))


def _formatted(text: str) -> str:
    ruff = [sys.executable, "-m", "ruff"]
    name = ["--stdin-filename", str(TARGET), "-"]
    for command in ([*ruff, "check", "--select", "I", "--fix", "--quiet", *name], [*ruff, "format", "--quiet", *name]):
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


class _Annotation(ast.NodeTransformer):
    """Turns an annotation into its synchronous counterpart; notes what it met."""

    def __init__(self, module: Module, where: str, output: Output, shadowed: frozenset[str]) -> None:
        self.is_input = False
        self.faces: list[Face] = []
        self._module = module
        self._where = where
        self._output = output
        self._shadowed = shadowed

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in REFUSED:
            raise Unsupported(self._where, node, f"{node.id} in an annotation")
        self.is_input = self.is_input or node.id in INPUTS
        origin = self._module.origin(node.id, node)
        face = self._output.faces.get(origin)
        if face is not None:
            self.faces.append(face)
            return ast.Name(face.sync_name)
        if node.id in RENAMES:
            return ast.Name(self._output.need(RENAMES[node.id]))
        if "Async" in node.id:
            raise Unsupported(self._where, node, f"{node.id} in an annotation")
        if origin == node.id and node.id in self._shadowed:
            # Inside the class the name is its method.
            self._output.imports.add("import builtins")
            return ast.Attribute(ast.Name("builtins"), node.id)
        return ast.Name(self._output.need(origin))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if not (isinstance(node.value, ast.Name) and self._module.origin(node.value.id, node) == "builtins"):
            raise Unsupported(self._where, node, f"{ast.unparse(node)} in an annotation")
        return self.visit_Name(ast.copy_location(ast.Name(node.attr), node))

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if node.value is not None and node.value is not ...:
            raise Unsupported(self._where, node, f"{node.value!r} in an annotation")
        return node


class Signature:
    """A function's parameters, as they are declared and as they are passed on."""

    def __init__(
        self,
        node: ast.FunctionDef | ast.AsyncFunctionDef,
        module: Module,
        where: str,
        output: Output,
        *,
        shadowed: frozenset[str] = frozenset(),
        has_self: bool = True,
    ) -> None:
        self.inputs: list[str] = []
        self._context = (module, where, output, shadowed)
        arguments = node.args
        if arguments.vararg or arguments.kwarg or arguments.posonlyargs:
            raise Unsupported(where, node, "*args, **kwargs or positional-only parameters")
        if node.returns is None:
            raise Unsupported(where, node, "no return annotation")
        positional = arguments.args[1:] if has_self else arguments.args
        without = len(positional) - len(arguments.defaults)
        defaults: list[ast.expr | None] = [*(None for _ in range(without)), *arguments.defaults]
        declared = ["self"] if has_self else []
        declared += [self._declare(a, d) for a, d in zip(positional, defaults, strict=True)]
        if arguments.kwonlyargs:
            declared.append("*")
            declared += [self._declare(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
        self.declared = ", ".join(declared)
        self.passed = ", ".join(
            [a.arg for a in positional] + [f"{a.arg}={a.arg}" for a in arguments.kwonlyargs],
        )

    def _declare(self, argument: ast.arg, default: ast.expr | None) -> str:
        module, where, output, shadowed = self._context
        if argument.annotation is None:
            raise Unsupported(where, argument, f"parameter {argument.arg} has no annotation")
        annotation = _Annotation(module, where, output, shadowed)
        declared = f"{argument.arg}: {ast.unparse(annotation.visit(_copy(argument.annotation)))}"
        if annotation.faces:
            raise Unsupported(where, argument, f"parameter {argument.arg} takes a {annotation.faces[0].name}")
        if any(name in declared for name in ("Iterator[", "AbstractContextManager[")):
            raise Unsupported(where, argument, f"parameter {argument.arg} takes an iterator or a context manager")
        if annotation.is_input:
            self.inputs.append(argument.arg)
        return declared if default is None else f"{declared} = {self._default(default)}"

    def _default(self, node: ast.expr) -> str:
        module, where, output, _ = self._context
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                output.need(module.origin(part.id, part))
            elif not isinstance(
                part, ast.Constant | ast.Tuple | ast.Attribute | ast.UnaryOp | ast.BinOp | ast.operator | ast.unaryop
            ) and not isinstance(part, ast.expr_context):
                raise Unsupported(where, node, f"default {ast.unparse(node)}")
        return ast.unparse(node)

    def returned(self, node: ast.expr) -> tuple[str, list[Face]]:
        """Return the counterpart of a return annotation, and the faces in it."""
        annotation = _Annotation(*self._context)
        text = ast.unparse(annotation.visit(_copy(node)))
        if annotation.is_input:
            raise Unsupported(self._context[1], node, "an input as a result")
        return text, annotation.faces


def _copy(node: ast.expr) -> ast.expr:
    copied = ast.parse(ast.unparse(node), mode="eval").body
    for part in ast.walk(copied):
        ast.copy_location(part, node)
    return copied


def _inner(node: ast.expr | None, wrapper: str) -> ast.expr | None:
    """Return X of ``wrapper[X]``, None for anything else."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == wrapper:
        return node.slice
    return None


def _is_generator(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(part, ast.Yield | ast.YieldFrom) for part in _own_nodes(node))


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield from _own_nodes(child)


class FaceWriter:
    """Writes the face of one class."""

    def __init__(self, face: Face, module: Module, output: Output) -> None:
        found = module.find(face.name)
        if not isinstance(found, ast.ClassDef):
            raise Unsupported(module.name, found, f"{face.name} is not a class")
        self._face = face
        self._module = module
        self._output = output
        self._class = found
        self._where = f"{module.name}.{face.name}"
        self._left_out: set[str] = set()
        self._attributes: set[str] = set()
        methods = (n.name for n in found.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
        self._shadowed = frozenset(name for name in methods if hasattr(builtins, name))

    def write(self) -> None:
        """Write the class."""
        lines, inner = self._output.lines, self._output.need(self._where)
        portal = self._output.need("aetherium.app.sync.portal.Portal")
        lines += ["", "", f"class {self._face.sync_name}:"]
        self._output.doc(self._doc(self._class), "    ")
        lines.append("")
        lines.append(f"    def __init__(self, inner: {inner}, portal: {portal}) -> None:")
        lines += ["        self._inner = inner", "        self._portal = portal"]
        for node, following in zip(self._class.body, [*self._class.body[1:], None], strict=True):
            self._member(node, following)
        for table, used in ((self._face.left_out, self._left_out), (self._face.attributes, self._attributes)):
            if unused := sorted(set(table) - used):
                raise Unsupported(self._where, None, f"the tables name what is not there: {', '.join(unused)}")

    def _doc(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
        doc = ast.get_docstring(node)
        if doc is None:
            raise Unsupported(self._where, node, f"{node.name} has no docstring")
        return doc

    def _is_left_out(self, name: str) -> bool:
        if name in self._face.left_out:
            self._left_out.add(name)
            return True
        return name.startswith("_") and not (name.startswith("__") and name.endswith("__"))

    def _member(self, node: ast.stmt, following: ast.stmt | None) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == "__init__":
                self._instance_attributes(node)
            elif not self._is_left_out(node.name):
                self._method(node)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if not self._is_left_out(node.target.id):
                self._attribute(node.target.id, node.annotation, _docstring(following))
        elif isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) and t.id[0] == "_" for t in node.targets):
            pass
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            raise Unsupported(self._where, node, f"{type(node).__name__} in a class")

    def _instance_attributes(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        parameters = {argument.arg: argument.annotation for argument in [*node.args.args, *node.args.kwonlyargs]}
        for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
            targets = [n for n in ast.walk(statement) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]
            public = [t for t in targets if not t.attr.startswith("_") or t.attr in self._face.left_out]
            for target in public:
                if not isinstance(statement, ast.Assign | ast.AnnAssign) or len(targets) > 1:
                    raise Unsupported(self._where, statement, f"{target.attr} is not set by a statement of its own")
                if not self._is_left_out(target.attr):
                    annotation = statement.annotation if isinstance(statement, ast.AnnAssign) else None
                    if annotation is None and isinstance(statement.value, ast.Name):
                        annotation = parameters.get(statement.value.id)
                    if annotation is None and isinstance(statement.value, ast.Constant):
                        annotation = _name(type(statement.value.value).__name__, statement)
                    self._attribute(target.attr, annotation, _docstring(following))

    def _attribute(self, name: str, annotation: ast.expr | None, doc: str | None) -> None:
        told = self._face.attributes.get(name, Attribute())
        self._attributes.add(name)
        for said, known, what in ((told.type, annotation, "type"), (told.doc, doc, "docstring")):
            if bool(said) == bool(known):
                raise Unsupported(self._where, annotation, f"the {what} of {name} is known {2 if said else 0} times")
        if annotation is None:
            annotation = ast.parse(told.type, mode="eval").body
        shown = _Annotation(self._module, self._where, self._output, self._shadowed)
        text = ast.unparse(shown.visit(_copy(annotation)))
        value = f"self._inner.{name}"
        if shown.faces:
            if text != shown.faces[0].sync_name:
                raise Unsupported(self._where, annotation, f"{name} is {text}")
            value = f"{text}({value}, self._portal)"
        self._output.lines += ["", "    @property", f"    def {name}(self) -> {text}:"]
        self._output.doc(doc or told.doc, "        ")
        self._output.lines.append(f"        return {value}")

    def _method(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        where = f"{self._where}.{node.name}"
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        if node.name.startswith("__") or decorators not in ([], ["property"], ["asynccontextmanager"]):
            raise Unsupported(where, node, f"the method {' '.join(f'@{d}' for d in decorators)} {node.name}")
        signature = Signature(node, self._module, where, self._output, shadowed=self._shadowed)
        if decorators == ["property"]:
            if isinstance(node, ast.AsyncFunctionDef):
                raise Unsupported(where, node, "an asynchronous property")
            self._attribute(node.name, node.returns, self._doc(node))
            return
        body, returns = self._body(node, signature, where, is_context=decorators == ["asynccontextmanager"])
        self._output.lines += ["", f"    def {node.name}({signature.declared}) -> {returns}:"]
        self._output.doc(self._doc(node), "        ")
        indent = "        "
        for name in signature.inputs:
            self._output.lines.append(
                f"{indent}with {self._output.need('aetherium.app.sync.feed.fed')}({name}) as fed_{name}:"
            )
            indent += "    "
        self._output.lines.append(indent + body)

    def _body(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, signature: Signature, where: str, *, is_context: bool
    ) -> tuple[str, str]:
        """Return the statement that calls the method, and the return annotation."""
        assert node.returns is not None
        is_async = isinstance(node, ast.AsyncFunctionDef)
        passed = signature.passed
        for name in signature.inputs:
            passed = ", ".join(
                f"fed_{name}" if part == name else f"{name}=fed_{name}" if part == f"{name}={name}" else part
                for part in passed.split(", ")
            )
        call = f"lambda: self._inner.{node.name}({passed})"
        items = _inner(node.returns, "AsyncIterator")
        made = _inner(node.returns, "AsyncGenerator")
        if isinstance(made, ast.Tuple):
            items = made.elts[0]
        held = items if is_context else _inner(node.returns, "AbstractAsyncContextManager")
        if is_context and (not is_async or items is None or not _is_generator(node)):
            raise Unsupported(where, node, "a context manager that is no asynchronous generator")
        if held is not None:
            if signature.inputs or (is_async and not is_context):
                raise Unsupported(where, node, "a context manager with an input, or that must be awaited")
            return self._held(held, call, signature, where)
        text, faces = signature.returned(items if items is not None else node.returns)
        if faces or "AbstractContextManager[" in text or "Iterator[" in text:
            raise Unsupported(where, node, f"returns {ast.unparse(node.returns)}")
        if items is not None:
            if is_async and not _is_generator(node):
                raise Unsupported(where, node, "a coroutine that returns an iterator")
            iterate = f"self._portal.iterate({call})"
            returns = f"{self._output.need('collections.abc.Iterator')}[{text}]"
            if made is not None:
                returns = f"{self._output.need('collections.abc.Generator')}[{text}, None, None]"
            return (f"yield from {iterate}" if signature.inputs else f"return {iterate}"), returns
        how = "call" if is_async else "run"
        return ("" if text == "None" else "return ") + f"self._portal.{how}({call})", text

    def _held(self, held: ast.expr, call: str, signature: Signature, where: str) -> tuple[str, str]:
        manager = self._output.need("contextlib.AbstractContextManager")
        text, faces = signature.returned(held)
        if _inner(held, "AsyncIterator") is not None and not faces:
            return f"return self._portal.hold_iterator({call})", f"{manager}[{text}]"
        if "AbstractContextManager[" in text or "Iterator[" in text or (faces and text != faces[0].sync_name):
            raise Unsupported(where, held, f"a context manager of {ast.unparse(held)}")
        face = f"lambda held: {text}(held, self._portal)" if faces else "lambda held: held"
        return f"return self._portal.hold({call}, {face})", f"{manager}[{text}]"


def _docstring(node: ast.stmt | None) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None


def _name(name: str, at: ast.AST) -> ast.expr:
    node = ast.Name(name)
    node.lineno = getattr(at, "lineno", 0)
    node.col_offset = 0
    return node


def _write_opener(output: Output) -> None:
    module_name, name, sync_name = OPENER
    module = Module(module_name)
    node = module.find(name)
    where = f"{module_name}.{name}"
    if not isinstance(node, ast.AsyncFunctionDef) or [ast.unparse(d) for d in node.decorator_list] != [
        "asynccontextmanager"
    ]:
        raise Unsupported(where, node, "not an asynchronous context manager")
    signature = Signature(node, module, where, output, has_self=False)
    inner = _inner(node.returns, "AsyncIterator")
    if inner is None or signature.inputs:
        raise Unsupported(where, node, "does not open an engine")
    text, faces = signature.returned(inner)
    if [face.sync_name for face in faces] != [text]:
        raise Unsupported(where, node, f"opens {text}")
    for full_name in ("contextlib.contextmanager", "collections.abc.Iterator", where):
        output.need(full_name)
    open_portal = output.need("aetherium.app.sync.portal.open_portal")
    output.lines += ["", "", "@contextmanager", f"def {sync_name}({signature.declared}) -> Iterator[{text}]:"]
    output.doc(ast.get_docstring(node) or "", "    ")
    output.lines += [
        f"    with {open_portal}(lambda: {name}({signature.passed})) as (portal, inner):",
        f"        yield {text}(inner, portal)",
    ]


def generate() -> str:
    """Return the module."""
    output = Output(FACES)
    for face in FACES:
        FaceWriter(face, Module(face.module), output).write()
    _write_opener(output)
    if unused := sorted(set(WORDS) - output.words_used):
        raise Unsupported("WORDS", None, f"no docstring says {', '.join(unused)}")
    return output.text()


def main(arguments: list[str]) -> int:
    """Write the module, or compare it."""
    if arguments not in ([], ["--check"]):
        print("usage: generate_sync.py [--check]", file=sys.stderr)
        return 2
    try:
        text = generate()
    except Unsupported as error:
        print(f"generate_sync.py: {error}", file=sys.stderr)
        return 1
    if not arguments:
        TARGET.write_text(text)
    elif not TARGET.exists() or TARGET.read_text() != text:
        print(f"{TARGET.relative_to(ROOT)} is out of date: run scripts/generate_sync.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
