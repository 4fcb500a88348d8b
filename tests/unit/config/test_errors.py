"""Every message, word for word, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from aetherium.app.config import load
from aetherium.model.errors import ConfigInvalid

from .conftest import Load, Refuse
from .fakes import REGISTRY, at

KNOWN = "event_bus, integrations, logging, server, storage, task_queue, vmm"
STORES = "absent, memory, odd, postgres, sqlite, vague"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sever: {}", f"1: sever: unknown key; did you mean 'server'? known here: {KNOWN}"),
        ("\nx: {}", f"2: x: unknown key; known here: {KNOWN}"),
        ("server:\n  prot: 1", "2: server.prot: unknown key; did you mean 'port'? known here: host, port"),
        ("server: {options: {}}", "1: server.options: unknown key; known here: host, port"),
        (
            "vmm:\n defaults:\n  cpu: 1",
            "3: vmm.defaults.cpu: unknown key; did you mean 'cpus'? known here: cpus, memory_mib, pids, timeout_s",
        ),
        (
            "vmm:\n  bubblewrap:\n    limits: {usr: x}",
            "3: vmm.bubblewrap.limits.usr: unknown key; did you mean 'user'? known here: open_files, user",
        ),
        (
            "vmm: {bubblewrap: {profiles: {p: {usr: x}}}}",
            "1: vmm.bubblewrap.profiles.p.usr: unknown key; did you mean 'user'? known here: open_files, user",
        ),
        (
            "vmm: {options: {}}",
            "1: vmm.options: unknown key; did you mean 'isolation'? known here: absent, "
            "bubblewrap, defaults, isolation, memory, provider",
        ),
        (
            "vmm: {binary: x}",
            "1: vmm.binary: unknown key; known here: absent, bubblewrap, defaults, isolation, memory, provider",
        ),
        (
            "storage: {provider: sqlite,\n  fil: x}",
            "2: storage.fil: unknown key; did you mean 'file'? known here: absent, cache_mib, file, memory, odd, "
            "password, postgres, provider, sqlite, vague",
        ),
        ("storage: {memory: {x: 1}}", "1: storage.memory.x: unknown key; this provider has no options"),
        (
            "storage: {provider: memory, x: 1}",
            "1: storage.x: unknown key; known here: absent, memory, odd, postgres, provider, sqlite, vague",
        ),
        ("{password:hunter2}", f"1: 'password…': unknown key; known here: {KNOWN}"),
        ('"a\\nb\\u2028": 1', f"1: 'a\\nb\\u2028': unknown key; known here: {KNOWN}"),
        ("server: 1", "1: server: must be a mapping, not an integer"),
        ("server: [1]", "1: server: must be a mapping, not a list"),
        ("storage:\n  sqlite: x", "2: storage.sqlite: must be a mapping, not a string"),
        ("- a", "1: must be a mapping of sections, not a list"),
        ("hunter2", "1: must be a mapping of sections, not a string"),
        (
            "server:\n  port: 1\n  host: x\n  port: 2",
            "4: server.port: is there twice; first at a.yaml:2",
        ),
        ("server: {'': 1}", "1: server: an empty key"),
        ("vmm: {<<: {}}", "1: vmm: '<<' is not a key: YAML 1.2 has no merging"),
        (
            "vmm:\n  provider: bublewrap",
            "2: vmm.provider: unknown provider 'bublewrap'; did you mean 'bubblewrap'? "
            "known are: absent, auto, bubblewrap, memory",
        ),
        ("storage: {provider: auto}", f"1: storage.provider: unknown provider 'auto'; known are: {STORES}"),
        ("storage: {provider: 5}", "1: storage.provider: must be a string, not an integer; put it in quotes"),
        ("storage: {provider: }", "1: storage.provider: must be a string, not nothing"),
        ("storage: {provider: {a: 1}}", "1: storage.provider: must be a string, not a mapping"),
        ("storage:\n  provider: postgres", "2: storage.postgres.url: is required"),
        ("storage:\n  provider: postgres\n  pool: 1", "2: storage.postgres.url: is required"),
        ("storage:\n  provider: postgres\n  postgres:\n    pool: 1", "2: storage.postgres.url: is required"),
        ("storage:\n  postgres:\n\n    pool: 1", "2: storage.postgres.url: is required"),
        (
            "storage:\n  provider: sqlite\n  file: a\n  sqlite:\n    file: b",
            "3: storage.file: is given again as storage.sqlite.file at a.yaml:5",
        ),
        (
            "storage: {provider: absent, url: x}",
            "1: storage.provider: the provider 'absent' cannot be loaded: ModuleNotFoundError: No module named "
            "'no_such_module_at_all'",
        ),
        (
            "integrations: {enabled: [github,\n gitlub]}",
            "2: integrations.enabled[1]: unknown integration 'gitlub'; did you mean 'github'? known are: github",
        ),
        ("integrations: {enabled: github}", "1: integrations.enabled: must be a list, not a string"),
        (
            "integrations: {enabled: [1]}",
            "1: integrations.enabled[0]: must be a string, not an integer; put it in quotes",
        ),
    ],
)
def test_keys_and_sections(refuse: Refuse, text: str, problem: str) -> None:
    assert refuse(text) == [f"a.yaml:{problem}"]


PG = "storage: {provider: postgres, url: 'postgres:', "
BW = "vmm: {bubblewrap: {"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {port: '80'}", "server.port: must be an integer, not a string"),
        ("server: {port: eighty}", "server.port: must be an integer, not a string"),
        ("server: {port: 80.5}", "server.port: must be an integer, not a number"),
        ("server: {port: true}", "server.port: must be an integer, not true or false"),
        ("server: {port: }", "server.port: must be an integer, not nothing"),
        ("server: {port: {a: 1}}", "server.port: must be an integer, not a mapping"),
        ("server: {port: 0}", "server.port: must be from 1 to 65535"),
        ("server: {port: 99999999999999999999}", "server.port: must be from 1 to 65535"),
        ("server: {host: 1}", "server.host: must be a string, not an integer; put it in quotes"),
        ("vmm: {defaults: {cpus: 0}}", "vmm.defaults.cpus: must be from 0.01 to 1024"),
        ("vmm: {defaults: {cpus: .nan}}", "vmm.defaults.cpus: must be from 0.01 to 1024"),
        ("vmm: {defaults: {cpus: true}}", "vmm.defaults.cpus: must be a number, not true or false"),
        ("vmm: {defaults: {cpus: '1'}}", "vmm.defaults.cpus: must be a number, not a string"),
        ("vmm: {defaults: {memory_mib: 1e3}}", "vmm.defaults.memory_mib: must be an integer, not a number"),
        ("vmm: {defaults: {memory_mib: -1}}", "vmm.defaults.memory_mib: must be from 16 to 16777216"),
        ("vmm: {defaults: {timeout_s: .inf}}", "vmm.defaults.timeout_s: must be from 0 to 315360000"),
        ("vmm: {defaults: {pids: 1}}", "vmm.defaults.pids: must be from 8 to 4194304"),
        ("vmm: {defaults: 1}", "vmm.defaults: must be a mapping, not an integer"),
        (
            "vmm: {isolation: hard}",
            "vmm.isolation: must be vm, kernel, container, namespace or none, not 'hard'",
        ),
        ("vmm: {isolation: 1}", "vmm.isolation: must be vm, kernel, container, namespace or none, not '1'"),
        ("vmm: {isolation: [vm]}", "vmm.isolation: must be vm, kernel, container, namespace or none, not a list"),
        ("logging: {provider: memory, format: jsn}", "logging.format: must be text or json, not 'jsn'"),
        ("logging: {format: jsn}", "logging.format: must be text or json, not 'jsn'"),
        ("logging: {level: loud}", "logging.level: must be debug, info, warning or error, not 'loud'"),
        (PG + "pool: 0}", "storage.pool: must be from 1 to 100"),
        (PG + "postgres: {pool: 0}}", "storage.postgres.pool: must be from 1 to 100"),
        (PG + "ca: 1}", "storage.ca: must be a string, not an integer; put it in quotes"),
        (PG + "verify: yes}", "storage.verify: must be true or false, not a string"),
        (PG + "mode: slow}", "storage.mode: must be fast or safe, not 'slow'"),
        (PG + "schema: refused}", "storage.postgres: this schema is not allowed"),
        (PG + "schema: defect}", "storage.postgres: the provider's options cannot be checked: RuntimeError"),
        (
            "storage: {provider: postgres, url: hunter2}",
            "storage.postgres: is refused; the reason is not shown because it may quote a secret",
        ),
        ("storage: {provider: postgres, url: [hunter2]}", "storage.url: must be a string, not a list"),
        (
            "storage: {provider: postgres, url: 1234}",
            "storage.url: must be a string, not an integer; put it in quotes",
        ),
        (BW + "readonly: [a, 1]}}", "vmm.bubblewrap.readonly[1]: must be a string, not an integer; put it in quotes"),
        (BW + "readonly: a}}", "vmm.bubblewrap.readonly: must be a list, not a string"),
        (BW + "env: {A: 1}}}", "vmm.bubblewrap.env.A: must be a string, not an integer; put it in quotes"),
        (BW + "env: [A]}}", "vmm.bubblewrap.env: must be a mapping, not a list"),
        (BW + "limits: {open_files: x}}}", "vmm.bubblewrap.limits.open_files: must be an integer, not a string"),
        (BW + "color: green}}", "vmm.bubblewrap.color: must be red or blue, not 'green'"),
        (BW + "color: " + "x" * 41 + "}}", "vmm.bubblewrap.color: must be red or blue"),
        (BW + "uid: x}}", "vmm.bubblewrap.uid: must be auto or an integer, not a string"),
        (BW + "either: x}}", "vmm.bubblewrap.either: must be an integer or a list, not a string"),
    ],
)
def test_values(refuse: Refuse, text: str, problem: str) -> None:
    assert refuse(text) == [f"a.yaml:1: {problem}"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("odd", f"cannot be loaded: {at('NOT_A_CLASS')} is not a dataclass"),
        ("vague", "cannot be loaded: NameError: name 'Nowhere' is not defined"),
    ],
)
def test_a_provider_whose_options_are_no_type(refuse: Refuse, name: str, problem: str) -> None:
    expected = f"a.yaml:1: storage.provider: the provider {name!r} {problem}"
    assert refuse(f"storage: {{provider: {name}, x: 1}}") == [expected]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server:\n\tport: 1", "2:1: a tab cannot indent; use spaces"),
        ("server: {port: 1", "1:9: '{' without its '}', or a ',' is missing"),
        ("server: [1", "1:9: '[' without its ']', or a ',' is missing"),
        ("a: 1\nb: @hunter2", "2:4: this character cannot begin a value; put the value in quotes"),
        ("a: b: hunter2", "1:5: no ':' is expected here; check the indentation, and quote a value with ': '"),
        ("a: 1\nhunter2", "2:1: a key without a ':' after it"),
        ("a:\n  - 1\n b: 2", "3:2: this does not fit the lines above it; check quotes and indentation"),
        ("- a\nb: 1", "2:1: this does not fit the lines above it; check quotes and indentation"),
        ('"a" "b"', "1:5: this does not fit the lines above it; check quotes and indentation"),
        ('a:\n  b: "hunter2\n\n', "2:6: a quote without its closing quote"),
        ('a: "\\q"', "1:6: an unknown '\\' escape; in single quotes a '\\' is itself"),
        ('a: "\\xZZ"', "1:7: an unfinished '\\' escape; in single quotes a '\\' is itself"),
        ("a: *hunter2", "1:4: an alias ('*') that refers to nothing above it"),
        ("a: &a [*a]", "1:8: an alias ('*') that refers to nothing above it"),
        ("a: !hunter2 x", "1:4: tags ('!') are not supported"),
        ("a: 1\n---\nb: 1", "2:1: a second document; there can be one only"),
        ("? [a]\n: 1", "1:3: a key must be a text"),
        ("%YAML 9.9\n---\na: 1", "1:1: only YAML 1.1 and 1.2 can be read"),
        ("a: &\n", "1:5: this is not valid YAML"),
        ("a: " + "[" * 33 + "]" * 33, "1:36: more than 32 levels"),
        ("a: [" + "1," * 20_000 + "]", "1:39999: more than 20000 values, aliases written out"),
    ],
)
def test_syntax(refuse: Refuse, text: str, problem: str) -> None:
    assert refuse(text) == [f"a.yaml:{problem}"]


def test_an_alias_bomb_is_refused(refuse: Refuse) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    problems = refuse("\n".join(lines))
    assert len(problems) == 1
    assert "more than 20000 values, aliases written out" in problems[0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: \x01", "a.yaml:1: the character U+0001 cannot stand in YAML"),
        ("a: 1\n\0", "a.yaml:2: the character U+0000 cannot stand in YAML"),
        ('server: {host: "\\ud800"}', "a.yaml:1: server.host: holds half a character (a lone surrogate)"),
        ('"\\ud800": 1', "a.yaml:1: a key that holds half a character (a lone surrogate)"),
        ('a: "\\UFFFFFFFF"', "a.yaml:1: this is not valid YAML"),
    ],
)
def test_characters(refuse: Refuse, text: str, problem: str) -> None:
    assert refuse(text) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server:\n  host: ${HOST}", "2: server.host: the environment variable HOST is not set"),
        ("server: {host: '${HOST'}", "1: server.host: '${' without its '}'; write '$$' for a plain '$'"),
        ("storage: {provider: ${P}, what: 1}", "1: storage.provider: the environment variable P is not set"),
        (
            "storage: {provider: postgres, url: ${URL}}",
            "1: storage.url: the environment variable URL is not set",
        ),
        (
            "storage: {provider: postgres, postgres: {url: ${URL}}}",
            "1: storage.postgres.url: the environment variable URL is not set",
        ),
        (
            "integrations: {enabled: [github, ${X}]}",
            "1: integrations.enabled[1]: the environment variable X is not set",
        ),
        ("server: ${X}", "1: server: the environment variable X is not set"),
        ("storage: {sqlite: ${X}}", "1: storage.sqlite: the environment variable X is not set"),
        ("${X}", "1: the environment variable X is not set"),
        (
            "vmm: {bubblewrap: {limits: {user: ${X}}}}",
            "1: vmm.bubblewrap.limits.user: the environment variable X is not set",
        ),
    ],
)
def test_expansion(refuse: Refuse, text: str, problem: str) -> None:
    assert refuse(text) == [f"a.yaml:{problem}"]


def test_a_value_out_of_a_variable_is_never_quoted(refuse: Refuse) -> None:
    environ = {"X": "hunter2"}
    assert refuse("logging: {level: ${X}}", environ) == [
        "a.yaml:1: logging.level: must be debug, info, warning or error"
    ]
    assert refuse("storage: {provider: ${X}}", environ) == [
        f"a.yaml:1: storage.provider: unknown provider; known are: {STORES}"
    ]


def test_all_problems_at_once_in_order(refuse: Refuse) -> None:
    text = """\
sever: 1
server:
  port: ${NO_PORT}
  hots: x
  host: 5
vmm:
  provider: bublewrap
  defaults: {cpus: -1, memory_mib: big}
storage:
  provider: postgres
  pool: 1000
  bool: 1
logging: {level: ${NO_LEVEL}}
"""
    environ = {"AETHERIUM__SERVER__PROT": "1", "AETHERIUM__VMM__DEFAULTS__PIDS": "many"}
    assert [": ".join(problem.split(": ")[:2]) for problem in refuse(text, environ)] == [
        "a.yaml:1: sever",
        "a.yaml:3: server.port",
        "a.yaml:4: server.hots",
        "a.yaml:5: server.host",
        "a.yaml:7: vmm.provider",
        "a.yaml:8: vmm.defaults.cpus",
        "a.yaml:8: vmm.defaults.memory_mib",
        "a.yaml:10: storage.postgres.url",
        "a.yaml:11: storage.pool",
        "a.yaml:12: storage.bool",
        "a.yaml:13: logging.level",
        "environment variable AETHERIUM__SERVER__PROT: server.prot",
        "environment variable AETHERIUM__VMM__DEFAULTS__PIDS: vmm.defaults.pids",
    ]


def test_files_that_cannot_be_read(tmp_path: Path, load_text: Load) -> None:
    def problem(path: Path | None, **environ: str) -> str:
        with pytest.raises(ConfigInvalid) as caught:
            load(path, environ=environ, registry=REGISTRY, places=())
        return str(caught.value)

    assert problem(Path("no.yaml")) == "no.yaml: no such file"
    assert problem(None, AETHERIUM_CONFIG="no.yaml") == "no.yaml: no such file (named by AETHERIUM_CONFIG)"
    assert problem(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    Path("latin.yaml").write_bytes(b"a: 1\n# \xff\n")
    assert problem(Path("latin.yaml")) == "latin.yaml:2: is not UTF-8 text"
    Path("big.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    assert problem(Path("big.yaml")) == "big.yaml: is larger than 1 MiB"
