/** Whether an error is one of Node's for a failed system call, with one of these codes. */
export function hasErrno(error: unknown, ...codes: string[]): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' && codes.includes(code);
}
