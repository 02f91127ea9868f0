/** The demo did not show what it promises. Whatever else is thrown is a mistake of the demo, or of the machine. */
export class DemoFailed extends Error {
  /** Lines of detail for people. */
  readonly details: readonly string[];

  constructor(message: string, details: readonly string[] = [], options?: ErrorOptions) {
    super(message, options);
    this.details = details;
  }
}
