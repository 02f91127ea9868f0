import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Files that take longest, in that order: no long one is left for the end, when the others have
 * nothing to do any more. All others come behind them as vitest itself sorts them.
 */
const longest = [
  'test/engines/rabbitmq/restore.test.ts',
  'test/site/crash.test.ts',
  'test/demo/demo.test.ts',
  'test/engines/postgresql/contract.test.ts',
  'test/site/failing-restore.test.ts',
  'test/site/recovery-engines.test.ts',
  'test/storage/s3/contract.test.ts',
  'test/engines/rabbitmq/contract.test.ts',
  'test/site/bad-configuration.test.ts',
  'test/site/takeover.test.ts',
  'test/operations/damage.test.ts',
  'test/site/recovery.test.ts',
  'test/http/download.test.ts',
  'test/engines/postgresql/parallel.test.ts',
  'test/engines/postgresql/crash.test.ts',
  'test/storage/s3/swift.test.ts',
  'test/operations/promises.test.ts',
  'test/operations/copies.test.ts',
  'test/engines/postgresql/round-trip.test.ts',
  'test/operations/catalog.test.ts',
  'test/operations/store-faults.test.ts',
];

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = longest.indexOf(relative(this.ctx.config.root, moduleId));
      return at < 0 ? longest.length : at;
    };
    return (await super.sort(files)).toSorted((one, other) => place(one) - place(other));
  }
}
