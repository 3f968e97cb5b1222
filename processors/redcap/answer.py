"""What came back over HTTP."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP answer. `url` was asked; `location` is where a redirect points, else blank."""

    status: int
    body: bytes = field(repr=False)
    url: str
    location: str = ""

    @property
    def text(self) -> str:
        """The body as text, for messages; what is not UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")
