"""Which study is meant: by its UID, or by an accession number that no other study has."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row, text

from processors.accession_numbers import accession_subject
from processors.errors import ConfigurationError
from processors.explain.near_miss import accession_difference
from processors.gateway import Work
from processors.text import accession_likeness, without_padding

_LISTED = 12


def find_study(work: Work, wanted: str) -> str:
    """The UID of the study. Raises `ConfigurationError` where there is none, or more than one."""
    name = wanted.strip()
    if not name or not name.isprintable():
        raise ConfigurationError(
            "Expected a StudyInstanceUID or an accession number, found "
            + ("nothing." if not name else "something that is not printable text.")
        )
    parameters = {"name": name}
    if work.execute(_STUDY, parameters).scalar_one_or_none() is not None:
        return name
    studies = _by_accession(work, name)
    if len(studies) == 1:
        return str(studies[0].study)
    if studies:
        raise ConfigurationError(_several(name, studies))
    raise ConfigurationError(known_before(work, name) or "\n".join(_unknown(work, name)))


def known_before(work: Work, study: str) -> str | None:
    """What there is to say of a study that REDCap held before this system, and that never arrived here; else None."""
    if not work.execute(_ADOPTED, {"name": study}).scalar_one():
        return None
    return (
        f"REDCap held study {study} before this system, and no summary of it was ever read here: nothing was decided "
        f"about it. `fiona-ledger audit request_of_others --study {study}` tells what others have requested of it."
    )


def studies_with_accession(work: Work, number: str) -> list[str]:
    """The UIDs of the studies with this accession number, as written."""
    return [row.study for row in _by_accession(work, number)]


def named_study(work: Work, wanted: str) -> str:
    """The UID of the study that has this accession number; whatever no study has, as it was.

    Raises `ConfigurationError` where several studies have it.
    """
    is_known = work.execute(_STUDY, {"name": wanted}).scalar_one_or_none() is not None
    studies = [] if is_known else _by_accession(work, wanted.strip())
    if len(studies) > 1:
        raise ConfigurationError(_several(wanted.strip(), studies))
    return str(studies[0].study) if studies else wanted


def _by_accession(work: Work, number: str) -> Sequence[Row[Any]]:
    return work.execute(_BY_ACCESSION, {"accession": _known_as(work, number)}).all()


_STUDY = text("select study from gateway.study where study = :name")
_BY_ACCESSION = text("""
    select study, min(arrived_at) as arrived_at, count(*) as series
      from gateway.series join gateway.study using (study)
     where accession = :accession group by study order by min(arrived_at), study
""")
_REJECTED = text("""
    select path, reason from gateway.rejected_file where split_part(path, '/', 1) = :name order by path limit :limit
""")
_ADOPTED = text("""
    select exists (select from gateway.adopted_study where study = :name)
           and not exists (select from gateway.study where study = :name)
""")
_LISTED_FOLDER = text("select exists (select from gateway.folder where study = :name)")
_WAITING_ENTRIES = text("""
    select record_id from gateway.coupling_entry
     where not removed and (study = :name or accession = :accession) order by record_id limit :limit
""")
_SIMILAR = text("""
    select min(position) as position from gateway.series where accession = any(:alike) group by accession limit :limit
""")


def _known_as(work: Work, number: str) -> str | None:
    """By what series have the accession number, None where nothing has it."""
    name = accession_subject(number)
    known = {} if name is None else work.vault.found(work.connection, [name])
    return str(next(iter(known.values()))) if known else None


def _similar(work: Work, number: str) -> list[str]:
    """The accession numbers of series that are nearly this one."""
    alike = work.vault.alike(work.connection, "accession", [accession_likeness(number)])
    positions = work.execute(_SIMILAR, {"alike": list(map(str, alike)), "limit": _LISTED}).scalars().all()
    found = work.identities(positions).values()
    return sorted({without_padding(identity.get("AccessionNumber", "")) for _, identity in found})


def _several(name: str, studies: Any) -> str:
    lines = [f"{len(studies)} studies have the accession number {name}. Name one of them by its UID:"]
    lines += [f"  {row.study}  ({row.series} series, arrived {row.arrived_at:%Y-%m-%d})" for row in studies[:_LISTED]]
    if len(studies) > _LISTED:
        lines.append(f"  ... and {len(studies) - _LISTED} more")
    return "\n".join(lines)


def _unknown(work: Work, name: str) -> Iterator[str]:
    """What is known of a name that no study has."""
    parameters = {"name": name, "accession": _known_as(work, name), "limit": _LISTED}
    yield f"No study in the ledger has the UID or accession number {name}."
    rejected = work.execute(_REJECTED, parameters).all()
    yield from (f"  A file of that folder was rejected: {row.path}: {row.reason}." for row in rejected)
    if not rejected and work.execute(_LISTED_FOLDER, parameters).scalar_one():
        yield "  A folder of that name is on disk, but no summary in it has been read: it is still arriving."
    entries = list(work.execute(_WAITING_ENTRIES, parameters).scalars())
    if entries:
        yield f"  Coupling entry {', '.join(entries)} names it and waits until it arrives."
    similar = [known for known in _similar(work, name) if accession_difference(known, name)]
    yield from (f"  {known} is known: it differs by {accession_difference(known, name)}." for known in similar)
    yield (
        "Check the number. A study that is not here has not been received by this gateway, or is still arriving: "
        "`fiona-ledger status` tells when the last run was, and which files it could not read."
    )
