"""What a database of the ledger's is made of, line by line, so that two of them can be compared."""

from sqlalchemy import text

from ledger.database import Database

_SCHEMA = text("""
with relation as (
    select pg_class.oid, relkind, relacl, relowner, format('%s.%s', relnamespace::regnamespace, relname) as name
      from pg_class
     where relnamespace in (to_regnamespace('ledger'), to_regnamespace('gateway'), to_regnamespace('audit'))
       and relkind in ('r', 'v')
), attribute as (
    select relation.name, attname, atttypid, atttypmod, attnotnull, attacl, relowner, relation.oid, attnum,
           row_number() over (partition by relation.oid order by attnum) as place
      from relation join pg_attribute on attrelid = relation.oid where attnum > 0 and not attisdropped
)
select format('relation %s %s', name, relkind) as line from relation
 union all
select format('column %s.%s %s %s %s %s', name, place, attname, format_type(atttypid, atttypmod), attnotnull,
              pg_get_expr(adbin, adrelid))
  from attribute left join pg_attrdef on adrelid = attribute.oid and adnum = attnum
 union all
select format('constraint %s %s %s', name, conname, pg_get_constraintdef(pg_constraint.oid))
  from relation join pg_constraint on conrelid = relation.oid
 union all
select format('index %s %s', name, pg_get_indexdef(indexrelid)) from relation join pg_index on indrelid = relation.oid
 union all
select format('trigger %s %s %s', name, tgenabled, pg_get_triggerdef(pg_trigger.oid))
  from relation join pg_trigger on tgrelid = relation.oid
 union all
select format('function %s', pg_get_functiondef(pg_proc.oid)) from pg_proc
 where pronamespace in (to_regnamespace('ledger'), to_regnamespace('gateway'), to_regnamespace('audit'))
 union all
select format('view %s %s', name, pg_get_viewdef(oid)) from relation where relkind = 'v'
 union all
select format('comment %s.%s %s', name, attname, description)
  from relation join pg_description on objoid = relation.oid and classoid = 'pg_class'::regclass
  left join pg_attribute on attrelid = relation.oid and attnum = objsubid and objsubid > 0
 where name <> 'ledger.alembic_version'
 union all
select format('privilege %s %s %s %s', name, pg_get_userbyid(grantee), privilege_type, is_grantable)
  from relation cross join lateral aclexplode(coalesce(relacl, acldefault('r', relowner)))
 union all
select format('privilege %s.%s %s %s %s', name, attname, pg_get_userbyid(grantee), privilege_type, is_grantable)
  from attribute cross join lateral aclexplode(attacl)
 order by line
""")


def schema(database: Database) -> list[str]:
    """Tables, columns, constraints, indexes, triggers, functions, views, comments and privileges.

    Not which migrations made them, which a comment tells.
    """
    with database.begin() as connection:
        return list(connection.execute(_SCHEMA).scalars())
