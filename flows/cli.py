"""The command line: ``dreamtalk generate | page | fit | evaluate | reproduce | ablate | sync | ui | doctor``, and more.

Exit codes: 0 done; 2 wrong use or bad input, told in one line on stderr; 1 anything else.
"""

from __future__ import annotations

import typer

from flows.commands import coefficients, corpus, evaluation, machine, rating, study, talking_head, tracking
from flows.commands.shell import OneLineErrors

COMMANDS = (
    coefficients.fit,
    coefficients.import_coefficients,
    coefficients.export_coefficients,
    talking_head.generate,
    talking_head.page,
    evaluation.evaluate,
    evaluation.export_test_list,
    evaluation.systems,
    rating.rating_page,
    rating.rating_results,
    rating.preference_page,
    rating.preference_results,
    corpus.status,
    corpus.clip,
    machine.doctor,
    machine.reproduce,
    machine.ui,
    study.ablate,
    tracking.sync,
)

app = typer.Typer(
    cls=OneLineErrors,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # helps have square brackets of their own
    help=__doc__,
)
for command in COMMANDS:
    app.command()(command)

if __name__ == "__main__":
    app()
