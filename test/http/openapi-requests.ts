import fc from 'fast-check';

/** Requests made from the OpenAPI document: some as documented, most of them wrong somewhere. */

interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
}
export interface Operation {
  readonly method: string;
  readonly path: string;
  readonly body: Schema | undefined;
  readonly query: readonly string[];
  readonly statuses: readonly number[];
}
export interface GeneratedRequest {
  readonly operation: Operation;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly payload: string | undefined;
  /** The address still leads to the operation. */
  readonly straight: boolean;
}

export interface OpenApi {
  readonly paths: Record<string, Record<string, OpenApiOperation>>;
}
interface OpenApiOperation {
  readonly parameters?: readonly { name: string; in: string }[];
  readonly requestBody?: { content: Record<string, { schema: Schema }> };
  readonly responses: Record<string, unknown>;
}

export function operationsOf(document: OpenApi): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      body: operation.requestBody?.content['application/json']?.schema,
      query: (operation.parameters ?? []).filter((each) => each.in === 'query').map((each) => each.name),
      statuses: Object.keys(operation.responses).map(Number),
    })),
  );
}

export function requests(
  operations: readonly Operation[],
  guids: readonly string[],
): fc.Arbitrary<GeneratedRequest> {
  return fc.constantFrom(...operations).chain((operation) =>
    fc
      .record({
        segments: fc.array(segment(guids), { minLength: 3, maxLength: 3 }),
        query: fc.array(fc.tuple(fc.constantFrom('x', '__proto__', ...operation.query), text), {
          maxLength: 3,
        }),
        trick: fc.oneof(
          { weight: 12, arbitrary: fc.constant('') },
          { weight: 1, arbitrary: fc.constantFrom(...tricks) },
        ),
        body: bodyText(operation.body),
        headers: headers,
      })
      .map(({ segments, query, trick, body, headers }) => {
        let used = 0;
        const path = operation.path.replace(/\{(\w+)\}/g, (_, name: string) =>
          name === 'guid'
            ? segments[0]!
            : encodeURIComponent(ids[(segments[++used]?.length ?? 0) % ids.length]!),
        );
        const search = query.map(([name, value]) => `${encodeURIComponent(name)}=${encode(value)}`).join('&');
        const takesBody = operation.method !== 'GET';
        return {
          operation,
          url: `${path}${trick}${search && `?${search}`}`,
          headers: { ...(takesBody && { 'content-type': 'application/json' }), ...headers },
          payload: takesBody ? body : undefined,
          straight:
            trick === '' &&
            !path.includes('//') &&
            segments[0] !== '.' &&
            segments[0] !== '..' &&
            segments[0] !== '',
        };
      }),
  );
}

const ids = [
  '1',
  '2',
  '0',
  '-1',
  '99',
  'x',
  '2147483647',
  '2147483648',
  '9'.repeat(40),
  '1e3',
  '1.0',
  ' 1',
  '\0',
  'é',
  '١',
];
const tricks = [
  '/',
  '//',
  '/..',
  '/%2e%2e/',
  '/%',
  '/%zz',
  '%00',
  '/%ff%fe',
  ';a=b',
  '/a/b/c',
  `/${'x'.repeat(3000)}`,
  '#x',
];

/** encodeURIComponent refuses lone surrogates. */
const encode = (value: string) => encodeURIComponent(value.toWellFormed());
const text = fc.oneof(
  fc.constantFrom(
    '',
    '0',
    '1',
    '-5',
    '1000',
    '1001',
    '٣',
    '\0',
    'stored',
    'a9s',
    '../..',
    "'; drop table forestay.tasks; --",
  ),
  fc.string({ unit: 'binary', maxLength: 40 }),
);
function segment(guids: readonly string[]): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...guids, ...guids.map((guid) => guid.toUpperCase())) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        '00000000-0000-4000-8000-000000000000',
        '%00',
        '%2F',
        '%E0%A4%A',
        '..',
        '__proto__',
      ),
    },
    { weight: 1, arbitrary: text.map(encode) },
  );
}

const headers = fc.oneof(
  { weight: 8, arbitrary: fc.constant({}) },
  {
    weight: 2,
    arbitrary: fc.constantFrom<Record<string, string>>(
      { authorization: '' },
      { authorization: 'Basic YWRtaW46YWRtaW4=' },
      { authorization: `Bearer ${'x'.repeat(4000)}` },
      { authorization: 'Bearer \u00e4\u00ff' },
      { cookie: 'forestay_session=x; =; ;;; a=%zz' },
      { 'content-type': 'text/plain' },
      { 'content-type': 'application/json; charset=utf-16' },
      { 'content-type': ';;;' },
      { 'content-type': 'multipart/form-data' },
      { 'idempotency-key': 'same' },
      { 'idempotency-key': 'two words' },
      { 'x-request-id': 'a b\tc' },
      { range: 'bytes=99999999999999999999-' },
      { accept: 'text/html' },
    ),
  },
);

const oddValues = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    0,
    -1,
    1.5,
    1e308,
    '',
    [],
    {},
    [[]],
    '\0',
    '\ud800',
    '9'.repeat(300),
    2 ** 53,
  ),
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: 'binary' }),
  fc.constant({ constructor: { prototype: { polluted: true } } }),
);

/** A value of a schema, or now and then of none. */
function anyOf(schema: Schema): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 4, arbitrary: documented(schema) }, { weight: 1, arbitrary: oddValues });
}
function documented(schema: Schema): fc.Arbitrary<unknown> {
  if (schema.enum) return fc.constantFrom(...schema.enum);
  switch ([schema.type].flat()[0]) {
    case 'object': {
      const properties = Object.entries(schema.properties ?? {}).map(
        ([name, inner]) => [name, anyOf(inner)] as const,
      );
      return fc.record(Object.fromEntries(properties), { requiredKeys: [] });
    }
    case 'array':
      return fc.array(anyOf(schema.items ?? {}), { maxLength: 4 });
    case 'integer':
      return fc.oneof(fc.integer(), fc.constantFrom('1', 1));
    case 'boolean':
      return fc.boolean();
    case 'string':
      return fc.oneof(fc.constantFrom('fake', 'a good long key', 'view'), fc.uuid(), text);
    default:
      return oddValues;
  }
}

function bodyText(schema: Schema | undefined): fc.Arbitrary<string> {
  const raw = fc.constantFrom(
    ...[
      '',
      ' ',
      '{',
      '[]',
      'null',
      '3',
      '"text"',
      '{"a":1}}',
      '{"__proto__":{"a":1}}',
      '{"constructor":{"prototype":{}}}',
    ],
    ...[
      '['.repeat(5000),
      `${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`,
      `${'['.repeat(60)}${']'.repeat(60)}`,
    ],
    ...[
      '\ufeff{}',
      '{"name":"\\ud800","engine":"fake","connection":{}}',
      `{"name":"${'n'.repeat(1_100_000)}"}`,
      '{"a":1e999}',
    ],
    ...['{"name":"a","name":"b"}', '{"backup_guid":"\\u0000","encryption_key":"\\u0000"}', "{'a':1}", 'NaN'],
  );
  const made = anyOf(schema ?? { type: 'object' }).map((value) => JSON.stringify(value) ?? '');
  return fc.oneof({ weight: 5, arbitrary: made }, { weight: 1, arbitrary: raw });
}
