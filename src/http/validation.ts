import type { FastifySchemaCompiler } from 'fastify';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { HttpError } from './errors.ts';

/**
 * Bodies are checked by the schemas of their routes, and nothing is coerced: a number where text belongs is an error, not
 * text. Fields that no schema knows are ignored, because clients send more than we read. Paths and queries are
 * text, which the handlers read themselves (`numbers.ts`), so their schemas only document.
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  if (httpPart !== 'body') return (value: unknown) => ({ value });
  const validator = Compile(schema);
  return (value: unknown) => {
    if (validator.Check(value)) return { value };
    return { error: new HttpError(400, 'BadRequest', explain(validator.Errors(value))) };
  };
};

interface Violation {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params?: object;
}

/** One sentence that names the field. What was sent is not repeated: it may be a secret. */
function explain(violations: readonly Violation[]): string {
  const first = violations[0];
  if (!first) return 'The body of the request is not as documented.';
  const path = first.instancePath.split('/').slice(1);
  if (first.keyword === 'required') {
    const missing = (first.params as { requiredProperties?: string[] } | undefined)?.requiredProperties ?? [];
    return `The field ${[...path, missing[0] ?? ''].join('.')} is missing.`;
  }
  if (path.length === 0) return 'The body of the request must be a JSON object.';
  return `The field ${path.join('.').slice(0, 200)} is wrong: it ${first.message}.`;
}
