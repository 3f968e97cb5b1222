"""The two commands as a program of their own."""

from pathlib import Path

import typer

from processors.cli import privacy

app = typer.Typer()


@app.callback()
def _common(context: typer.Context, config: Path | None = None) -> None:
    context.obj = config


privacy.register(app)

if __name__ == "__main__":
    app()
