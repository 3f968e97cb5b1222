"""Which studies are compared with REDCap."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from processors.errors import ConfigurationError
from processors.gateway import Work


@dataclass(frozen=True, kw_only=True, slots=True)
class Scope:
    """The studies meant: one, those of a project, those that arrived `since`; None: no matter."""

    project: str | None = None
    study: str | None = None
    since: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing narrows it."""
        return self.project is None and self.study is None and self.since is None


_CONDITIONS: Mapping[str, str] = {
    "study": "study.study = :study",
    "since": "study.arrived_at >= :since",
    "project": """
        (exists (select from gateway.transfer where transfer.study = study.study and transfer.project = :project)
         or exists (select from gateway.outcome where outcome.study = study.study and outcome.project = :project)
         or exists (select from gateway.adopted_transfer as adopted
                     where adopted.study = study.study and adopted.project = :project))
    """,
}
_IS_KNOWN_STUDY = text("select exists (select from gateway.study where study = :study and site = :site)")
_PROJECTS = text("""
    select project from gateway.transfer
    union select project from gateway.outcome where project is not null
    union select project from gateway.adopted_transfer
    union select project from gateway.autoid_project where project <> ''
    order by 1
""")


def studies_of(work: Work, site: str, scope: Scope) -> list[str]:
    """The studies of the site in a fixed order. Raises `ConfigurationError` for a study or project unknown."""
    _require_known(work, site, scope)
    given = {name: value for name in _CONDITIONS if (value := getattr(scope, name)) is not None}
    conditions = " and ".join(["study.site = :site", *(_CONDITIONS[name] for name in given)])
    rows = work.execute(
        text(f"select study from gateway.study where {conditions} order by study"), {"site": site, **given}
    )
    return list(rows.scalars())


def _require_known(work: Work, site: str, scope: Scope) -> None:
    if scope.study is not None:
        chosen = {"study": scope.study, "site": site}
        if not work.execute(_IS_KNOWN_STUDY, chosen).scalar_one():
            raise ConfigurationError(
                f"--study: expected the StudyInstanceUID of a study that has arrived at site {site!r}, found "
                f"{scope.study!r}."
            )
    if scope.project is not None:
        names = list(work.execute(_PROJECTS).scalars())
        if scope.project not in names:
            raise ConfigurationError(
                f"--project: expected a project that a study was requested for or that takes part in auto-ID "
                f"({', '.join(names) or 'none'}), found {scope.project!r}."
            )
