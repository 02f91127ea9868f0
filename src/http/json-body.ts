import type { App } from './context.ts';
import { HttpError } from './errors.ts';

/** Deeper than any body of the API; whatever walks through a value may do so recursively below this. */
const maxDepth = 64;

/**
 * Reads bodies. JSON only, and an empty body is no body whatever its content type says: the documented calls send
 * `Content-Type: application/json` with nothing behind it.
 */
export function addBodyParsers(app: App): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    const text = body as string;
    if (text.trim() === '') return done(null, undefined);
    if (isDeeperThan(text, maxDepth))
      return done(malformed(`it is nested deeper than ${maxDepth} levels.`), undefined);
    parseJson(request, text, (error, value) => {
      if (error) done(malformed('it is not valid JSON.'), undefined);
      else done(null, value);
    });
  });
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
    if (body.length === 0) return done(null, undefined);
    done(Object.assign(new Error('no JSON'), { statusCode: 415 }), undefined);
  });
  // A route with only optional fields takes no body for an empty one; with others, it names the one that is missing.
  app.addHook('preValidation', (request, _reply, done) => {
    if (request.body === undefined) request.body = {};
    done();
  });
}

function malformed(reason: string): HttpError {
  return new HttpError(400, 'BadRequest', `The body of the request cannot be read: ${reason}`);
}

/** Without parsing, because JSON.parse takes any depth and what comes after it does not. */
function isDeeperThan(text: string, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let position = 0; position < text.length; position++) {
    const character = text.charCodeAt(position);
    if (inString) {
      if (character === 0x5c) position++;
      else if (character === 0x22) inString = false;
    } else if (character === 0x22) inString = true;
    else if (character === 0x7b || character === 0x5b) {
      if (++depth > limit) return true;
    } else if (character === 0x7d || character === 0x5d) depth--;
  }
  return false;
}
