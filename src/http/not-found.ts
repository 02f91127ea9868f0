import type { App } from './context.ts';
import { HttpError, sendError } from './errors.ts';

/** Answers addresses that are none (404) and methods that an address does not take (405). Before the routes. */
export function addNotFound(app: App): void {
  const methodsOf = new Map<string, Set<string>>();
  app.addHook('onRoute', ({ url, method }) => {
    const methods = methodsOf.get(url) ?? new Set();
    for (const one of [method].flat()) methods.add(one);
    methodsOf.set(url, methods);
  });
  app.setNotFoundHandler((request, reply) => {
    const segments = segmentsOf(request.url.split(/[?#]/)[0] ?? '');
    const allowed = [...methodsOf]
      .filter(([url]) => matches(segmentsOf(url), segments))
      .flatMap(([, methods]) => [...methods]);
    const error =
      allowed.length > 0
        ? new HttpError(405, 'MethodNotAllowed', `This address takes ${allowed.sort().join(', ')}.`, {
            allow: allowed.join(', '),
          })
        : new HttpError(404, 'NotFound', 'There is nothing at this address.');
    sendError(error, request, reply);
  });
}

/** As the router reads addresses: slashes that are doubled or at the end mean nothing. */
function segmentsOf(path: string): string[] {
  return path.split('/').filter((segment) => segment !== '');
}

function matches(pattern: string[], segments: string[]): boolean {
  return (
    pattern.length === segments.length &&
    pattern.every((expected, position) => expected.startsWith(':') || expected === segments[position])
  );
}
