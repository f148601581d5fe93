"""The files of an exported model: header, source, a test with its numbers, a Makefile."""

from __future__ import annotations

import numpy as np

from pyrnn._types import Array, Indices
from pyrnn.interop.c.functions import as_double, functions
from pyrnn.interop.c.source import Source, in_comment

MARK = "Made by pyrnn"
"""The first line of each file has it. A file without it is the user's and is not replaced."""

_HEADER = """/* {mark}: {described} */
#ifndef {upper}_H
#define {upper}_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {upper}_INPUT_SIZE {inputs}
#define {upper}_OUTPUT_SIZE {outputs}
{vocabulary}
/* What is carried from step to step. Each sequence needs one. */
typedef struct {{
{fields}}} {prefix}_state;

/* Has to be called before the first step: the state becomes zero. */
void {prefix}_init({prefix}_state *state);

/* Begins a new sequence. */
void {prefix}_reset({prefix}_state *state);

/* Advances by one time step and writes {outputs} numbers to y.
   {note} */
{step};

#ifdef __cplusplus
}}
#endif

#endif
"""

_SOURCE = """/* {mark}: {described} */
#include "{prefix}.h"

#include <math.h>
{integers}{functions}
{characters}{constants}
void {prefix}_init({prefix}_state *state)
{{
    {prefix}_reset(state);
}}

void {prefix}_reset({prefix}_state *state)
{{
{clears}
}}

{step}
{{
{body}
}}
"""

_TEST = """/* {mark}: runs {steps} steps, twice, and compares with what pyrnn computes. */
#include <stdio.h>

#include "{prefix}.h"

#define STEPS {steps}

static const {input_type} inputs[{input_count}] = {{
{inputs}
}};

static const float outputs[STEPS * {upper}_OUTPUT_SIZE] = {{
{outputs}
}};

static double largest_error({prefix}_state *state)
{{
    float y[{upper}_OUTPUT_SIZE];
    double largest = 0.0;
    for (size_t t = 0; t < STEPS; ++t) {{
        {call};
        for (size_t i = 0; i < {upper}_OUTPUT_SIZE; ++i) {{
            const double error = (double)y[i] - (double)outputs[t * {upper}_OUTPUT_SIZE + i];
            if (!(error <= largest)) largest = error;
            if (!(-error <= largest)) largest = -error;
        }}
    }}
    return largest;
}}

int main(void)
{{
    static {prefix}_state state;
    const double allowed = {allowed};
    double first, second;
    {prefix}_init(&state);
    first = largest_error(&state);
    {prefix}_reset(&state);
    second = largest_error(&state);
    printf("largest error %g, after a reset %g, allowed %g\\n", first, second, allowed);
    return first <= allowed && second <= allowed ? 0 : 1;
}}
"""

_MAKEFILE = """# {mark}: make test; make size; another compiler: make test CC=... RUN=...
CC ?= cc
CFLAGS ?= -std=c99 -O2 -Wall -Wextra -Wconversion -pedantic
RUN ?=

test: test_{prefix}
\t$(RUN) ./test_{prefix}

test_{prefix}: test_{prefix}.c {prefix}.o {prefix}.h
\t$(CC) $(CFLAGS) $(LDFLAGS) -o $@ test_{prefix}.c {prefix}.o -lm

{prefix}.o: {prefix}.c {prefix}.h
\t$(CC) $(CFLAGS) -c {prefix}.c

size: {prefix}.o
\tsize {prefix}.o

clean:
\trm -f {prefix}.o test_{prefix}

Makefile: ;

.PHONY: test size clean
"""


def header_and_source(source: Source, described: str, mark: str) -> tuple[str, str]:
    """The model itself."""
    clears = [f"    clear({size}, state->{name});" for name, size in source.state]
    called = source.called | {"copy"} | ({"clear"} if clears else set())
    loop = "    for (size_t i = 0; i < {1}; ++i) state->{0}[i] = 0.0;"
    clears += [loop.format(*array) for array in source.wide]
    # First what a compiler would align.
    fields = [("double", *array) for array in source.wide]
    fields += [("float", *array) for array in source.state]
    words = {
        "mark": mark,
        "described": in_comment(described),
        "prefix": source.prefix,
        "upper": source.prefix.upper(),
        "inputs": source.indices or source.inputs,
        "outputs": source.size,
        "fields": "".join(f"    {kind} {name}[{size}];\n" for kind, name, size in fields)
        or "    unsigned char unused;\n",
        "note": _note(source),
        "vocabulary": _declared_vocabulary(source),
        "characters": _vocabulary(source),
        "step": _signature(source),
        "functions": functions(called, source.int8, source.narrow or ""),
        "integers": "#include <stdint.h>\n#include <string.h>\n" if source.is_narrow else "",
        "constants": "\n".join(source.parts),
        "clears": "\n".join(clears) or "    state->unused = 0;",
        "body": "\n".join(f"    {line}" for line in _body(source)),
    }
    header, text = _HEADER.format_map(words), _SOURCE.format_map(words)
    return (header, text) if source.dtype == np.float32 else (as_double(header), as_double(text))


def _declared_vocabulary(source: Source) -> str:
    if not source.vocabulary:
        return ""
    return f"""
/* The character of each index of x and y, as a Unicode code point */
extern const unsigned long {source.prefix}_vocabulary[{len(source.vocabulary)}];
"""


def _vocabulary(source: Source) -> str:
    if not source.vocabulary:
        return ""
    points = source.numbers(np.array(source.vocabulary))
    name = f"{source.prefix}_vocabulary[{len(source.vocabulary)}]"
    return f"const unsigned long {name} = {{\n{points}\n}};\n\n"


def _note(source: Source) -> str:
    if source.indices:
        return (
            f"x is an index below {source.indices}. Returns 0; or 1, changing nothing, for others."
        )
    return f"x has {source.inputs} numbers."


def _signature(source: Source) -> str:
    takes = "size_t x" if source.indices else f"const float x[{source.inputs}]"
    result = "int" if source.indices else "void"
    prefix = source.prefix
    return f"{result} {prefix}_step({prefix}_state *state, {takes}, float y[{source.size}])"


def _body(source: Source) -> list[str]:
    lines = [f"float {name}[{size}];" for name, size in source.results.items()]
    if source.indices:
        lines.append(f"if (x >= {source.indices}) return 1;")
    if not source.state + source.wide:
        lines.append("(void)state;")
    lines += [*source.steps, f"copy({source.size}, {source.value}, y);"]
    return [*lines, "return 0;"] if source.indices else lines


def test_program(source: Source, x: Array | Indices, y: Array, mark: str) -> str:
    """A program that compares steps with these outputs; it ends with 0 if they agree."""
    argument = "inputs[t]" if source.indices else f"inputs + t * {source.prefix.upper()}_INPUT_SIZE"
    call = f"{source.prefix}_step(state, {argument}, y)"
    text = _TEST.format(
        mark=mark,
        prefix=source.prefix,
        upper=source.prefix.upper(),
        steps=len(y),
        input_type="size_t" if source.indices else "float",
        input_count="STEPS" if source.indices else f"STEPS * {source.prefix.upper()}_INPUT_SIZE",
        inputs=source.numbers(x),
        outputs=source.numbers(y),
        call=f"(void){call}" if source.indices else call,
        allowed=repr(source.allowed),
    )
    return text if source.dtype == np.float32 else as_double(text)


def makefile(source: Source, mark: str) -> str:
    """``make test`` builds the test and runs it."""
    return _MAKEFILE.format(prefix=source.prefix, mark=mark)
