/**
 * Settings that owners give to roles and databases for the sake of their programs, and what they must be for ours: time limits
 * would end the work of hours, and with array_nulls off a restored NULL in an array is the text "NULL".
 */
const needed: Readonly<Record<string, string>> = {
  array_nulls: 'on',
  default_transaction_read_only: 'off',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  lock_timeout: '0',
  statement_timeout: '0',
  transaction_timeout: '0',
};

/** As a table of names and values. */
export const neededSql = `(VALUES ${Object.entries(needed)
  .map(([name, value]) => `('${name}', '${value}')`)
  .join(', ')}) AS n(name, value)`;

/** Makes them so in the session it is run in. Not every server knows all of them. */
export const settingsSql = `SELECT set_config(n.name, n.value, false) FROM ${neededSql} WHERE current_setting(n.name, true) <> n.value`;
