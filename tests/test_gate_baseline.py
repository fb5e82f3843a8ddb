"""The baseline file: every number a line, equal content equal bytes, hostile names harmless."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pvreplay.errors import BaselineError
from pvreplay.gate.baseline import SCHEMA, Baseline, dumps, loads, quoted
from pvreplay.gate.entry import OTHERS, SHAPES_MAX, TASKS_MAX, Broken, shortened, spelled
from pvreplay.gate.update import updated
from pvreplay.replay.result import Totals
from tests.gate_tools import backend, changed, entry, measured
from tests.report_samples import HOSTILE

NAMES = st.text(st.characters(exclude_categories=()), max_size=12)
COUNTS = st.integers(0, 2**62)
TOTALS = st.builds(Totals, hypercalls=COUNTS, entries=COUNTS, traps=COUNTS, rom_calls=COUNTS, count=COUNTS)


def test_a_quoted_string_is_one_printable_line_that_toml_reads_back() -> None:
    text = quoted(HOSTILE)
    assert all(char.isprintable() for char in text)
    assert tomllib.loads(f"a = {text}")["a"] == spelled(HOSTILE)


@given(NAMES)
def test_any_name_survives_as_its_valid_spelling(name: str) -> None:
    assert tomllib.loads(f"{quoted(name)} = 1") == {spelled(name): 1}
    spelled(name).encode()


@settings(max_examples=30)
@given(
    st.dictionaries(NAMES, TOTALS, max_size=4),
    st.dictionaries(NAMES, TOTALS, max_size=4),
    st.dictionaries(NAMES, st.dictionaries(NAMES, st.just(0), min_size=1, max_size=2), max_size=2),
)
def test_what_is_written_is_read_back_and_written_alike(
    ops: dict[str, Totals], tasks: dict[str, Totals], names: dict[str, dict[str, int]]
) -> None:
    one = entry(
        backend={
            "xen": backend(
                op=ops, task=tasks, violation={"H1 x": Broken(severity="error", name="n", count=3)}
            )
        }
    )
    text = dumps(Baseline(trace={name: dict.fromkeys(kernels, one) for name, kernels in names.items()}))
    again = loads(text.encode(), "here")
    assert dumps(again) == text
    for kernels in again.trace.values():
        for read in kernels.values():
            expected = shortened(one)
            assert (read.path, read.digest, read.switches) == (one.path, one.digest, one.switches)
            assert read.backend["xen"].violation == one.backend["xen"].violation
            assert read.backend["xen"].hypercalls == 100
            assert sum(t.hypercalls for t in read.backend["xen"].op.values()) == sum(
                t.hypercalls for t in expected.backend["xen"].op.values()
            )


def test_the_order_of_what_is_told_does_not_change_a_byte() -> None:
    one, other = entry(), entry(digest="xxh3:1")
    a = Baseline(trace={"a": {"k": one, "l": other}, "b": {"k": other}})
    b = Baseline(trace={"b": {"k": other}, "a": {"l": other, "k": one}})
    assert dumps(a) == dumps(b)


def test_every_line_names_its_backend_and_holds_one_thing() -> None:
    lines = dumps(Baseline(trace={"t": {"k": entry()}})).splitlines()
    assert "backend.xen.hypercalls = 100" in lines
    assert "backend.xen.op.load_tls = { entries = 300, count = 100 }" in lines
    assert f'schema = "{SCHEMA}"' in lines and 'written_by = "0.1.0"' in lines and "model = 1" in lines
    assert [line for line in lines if line.startswith("[")] == ['[trace."t"."k"]']


def test_long_tables_are_summed_up_and_what_costs_nothing_is_left_out() -> None:
    tasks = {f"t{number:03}": Totals(hypercalls=number, count=1) for number in range(60)}
    shapes = {f"s{number:03}": Totals(entries=1, count=1) for number in range(SHAPES_MAX + 5)}
    short = shortened(entry(backend={"xen": backend(task=tasks, shape=shapes)})).backend["xen"]
    assert len(short.task) == TASKS_MAX + 1 and "t059" in short.task and "t000" not in short.task
    assert short.task[OTHERS].hypercalls == sum(range(1, 60 - TASKS_MAX))
    assert sum(totals.hypercalls for totals in short.task.values()) == sum(range(60))
    assert short.shape[OTHERS] == Totals(entries=5, count=5)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\xff", "utf-8"),
        (b"a = \nb", "line 1"),
        (b"", "schema ''"),
        (b"schema = 3", "schema"),
        (b'schema = "pvreplay.baseline/2"', "pvreplay.baseline/2"),
        (b'schema = "pvreplay.baseline/1"\ntrace = 3', "trace"),
        (b'schema = "pvreplay.baseline/1"\n[trace.a.b]\ndigest = "x"', "trace"),
    ],
)
def test_what_is_no_baseline_is_refused_with_its_place(data: bytes, found: str) -> None:
    with pytest.raises(BaselineError) as caught:
        loads(data, "b.toml")
    assert caught.value.message.startswith("b.toml: ") and found in caught.value.message
    assert caught.value.hint


# --- updating ------------------------------------------------------------------------------------


def test_an_update_touches_its_own_trace_and_kernel_only() -> None:
    old = Baseline(trace={"trace.bin": {"2.6.21": entry(), "my": entry(switches=3)}, "other": {"k": entry()}})
    new, notes = updated(old, [measured(entry(events=7))])
    assert new.trace["trace.bin"]["2.6.21"].events == 7
    assert new.trace["trace.bin"]["my"].switches == 3 and new.trace["other"] == old.trace["other"]
    assert notes == []
    assert old.trace["trace.bin"]["2.6.21"].events == 200


def test_backends_that_were_not_measured_stay_only_if_nothing_else_changed() -> None:
    old = Baseline(trace={"trace.bin": {"2.6.21": entry(backend={"vmi": backend(), "xen": backend()})}})
    new, notes = updated(old, [measured(entry())])
    assert set(new.trace["trace.bin"]["2.6.21"].backend) == {"vmi", "xen"} and not notes
    new, notes = updated(old, [measured(entry(digest="xxh3:9"))])
    assert set(new.trace["trace.bin"]["2.6.21"].backend) == {"xen"}
    assert "backend vmi left the baseline" in notes[0]


def test_a_baseline_that_accepts_broken_rules_says_so() -> None:
    broken = backend(violation={"H1 load_tls": Broken(severity="error", name="raw", count=2)})
    _, notes = updated(None, [measured(entry(backend={"xen": broken}))])
    assert "accepts broken rules" in notes[0]
    perf = changed(broken, violation={"W1 load_tls": Broken(severity="perf", name="lost", count=2)})
    assert updated(None, [measured(entry(backend={"xen": perf}))])[1] == []
