"""The words that are known to be REDCap's own, or a web server's: those of their messages, without any of a value.

Foreign words are shown only where each of them stands here or is the name of a field of ours. A server that quotes a
value, in whatever way, quotes words that do not. Who must see them whole finds them in REDCap.
"""

import re
from typing import Final

from . import incoming, transfers

_WORDS: Final = frozenset(
    re.findall(
        r"\S+",
        """
    a about above absent access account action add added address administrator after again against all
    allowed alone already also amount an analysis and another answer any api appear archived are arm as
    asked at attempt authentication auto autonumber available back bad ban banned be because been before
    being below between blank blocked body branching break browser but by calculation call calls can cannot
    category certificate change changed changes character characters check checkbox checked choice choices
    classic cleanup click closed code codes column columns comma complete connect connection contact contain
    contains content could csv currently data database date dates datetime day days decimal denied detected
    development dictionary did digits disabled disk display do does down dropdown due duplicate each edit
    either email empty enabled end enter entire entry error errors even event events every exactly exceed
    exceeded exceeds except exist exists expected expired export exported extension external failed false
    fatal field field's fields file files find first follow following follows for forbidden form format
    found from full function gateway get give given go group groups had has have header here hour hours how
    however html http https id identifier identity if import imported in inactive incident incorrect index
    input instance instances instead instrument instruments integer internal into invalid is it its json key
    label larger last least length less letters level levels like limit limited list load loaded lock locked
    log logged login long longer longitudinal loop made maintenance make many match matches maximum may
    memory message method might minimum minute minutes missing modified more most multiple must name named
    names need new next no non none nor not nothing now null number numbers of off offline ok old on once
    one online only open operation option or order other others our out outside over overloaded overwrite
    own page parameter parameters parse part parts password path peer per period permanently permission
    permissions permitted php please portal possible post prevented private privilege privileges problem
    process processed production project project's projects provide provided provider proxy query radio ran
    range raw re reach reached read reason received record record's recorded records refused reload rename
    repeat repeating repeats request requested requests require required requires reset response restricted
    result return right rights row rows rule same saml save saved second seconds security see select
    selected sent server server's servers service session set shibboleth should sign signin since site size
    slider smaller so some something soon sorry specified sso standard start status step still stop stored
    string submitted such suggested support supported suspended system systems tab table tabs temporarily
    text than that the their them then there these they this those time timed timeout times to today token
    too true truefalse truncated try trying two type unable unauthorized unavailable under unexpected unique
    unknown unlock unsupported until up update upload upper url use used user user's users using valid
    validated validation value values version very via view wait was way we web were what when where whether
    which while will window with within without work would write wrong xml year yes yesno yet you your
    """,
    )
)
_PROPER: Final = frozenset(
    ("API", "Apache", "CSV", "HTML", "HTTP", "HTTPS", "ID", "IP", "JSON", "MySQL", "nginx", "PHP", "REDCap")
) | {"REDCap's", "SSL", "TLS", "URL", "VPN", "WAF", "XML"}
_FIELDS: Final = frozenset(incoming.COMPARED_FIELDS) | incoming.OPTIONAL_FIELDS | frozenset(transfers.NEEDED_FIELDS)
_STATUS: Final = re.compile(r"[45]\d\d")
_A_WORD: Final = re.compile(r"\w(?:[\w'’^@.:/\\-]*\w)?")
_UNKNOWN: Final = re.compile(r"…(?:[^\w…]*…)+")


def known_words(words: str) -> str:
    """The words, an ellipsis in place of those that are not known; nothing where none is."""
    shown = _A_WORD.sub(lambda word: word[0] if is_known(word[0]) else "…", words)
    return _UNKNOWN.sub("…", shown) if re.search(r"\w", shown) else ""


def is_known(word: str) -> bool:
    """Whether it is a word of theirs or a field's name. Names of patients come in capitals: those are none."""
    if word in _PROPER or word in _FIELDS or _STATUS.fullmatch(word):
        return True
    parts = re.split(r"[/-]", word)
    return all(part in _PROPER or ((len(part) == 1 or not part.isupper()) and part.lower() in _WORDS) for part in parts)
