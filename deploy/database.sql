-- The role and the database that ledger.url names. For a superuser of the server:
--
--     runuser -u postgres -- psql --dbname postgres < database.sql
--
-- Harmless to repeat: what is there already is left as it is.
\set ON_ERROR_STOP on
\set role 'fiona'
\set database 'fiona'

select format('create role %I login', :'role')
 where not exists (select from pg_roles where rolname = :'role') \gexec

select format('create database %I owner %I encoding ''UTF8'' template template0', :'database', :'role')
 where not exists (select from pg_database where datname = :'database') \gexec

\echo 'Unless the server knows the role without a password, give it one now: \\password' :role
