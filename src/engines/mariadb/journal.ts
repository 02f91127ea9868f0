import type { DanglingKey } from './dangling.ts';
import type { Program } from './programs.ts';
import { qualified } from './quote.ts';
import type { Session } from './session.ts';

/**
 * What must be known to finish an exchange of tables that somebody else began. It lies in the schema that takes the old
 * tables, and is written before anything is changed.
 */
export interface Exchange {
  readonly ticketId: string;
  readonly target: string;
  /** The schema with the tables that come, and that which takes those that go. */
  readonly incoming: string;
  readonly outgoing: string;
  readonly marker: string;
  /** Tables with triggers, which stay in the schema under another name until these are dropped. */
  readonly leaving: readonly Passing[];
  /** Tables that get triggers, which they need to get in the schema before they are seen. */
  readonly arriving: readonly Passing[];
  /** Defaults of coming tables that take numbers from a sequence of the schema, whose name they can say only there. */
  readonly defaults: readonly SequenceDefault[];
  /** Foreign keys of coming tables that refer to nothing, and were taken off. */
  readonly dangling: readonly DanglingKey[];
  readonly charset: string;
  readonly collation: string;
  readonly programs: readonly Program[];
  /** What the schema had before. */
  readonly before: {
    readonly charset: string;
    readonly collation: string;
    readonly programs: readonly Program[];
    readonly dangling: readonly DanglingKey[];
  };
}

export interface Passing {
  readonly name: string;
  readonly passing: string;
}

export interface SequenceDefault {
  readonly table: string;
  readonly column: string;
  /** An expression. */
  readonly value: string;
}

type Entry =
  | { readonly type: 'program' | 'program before'; readonly program: Program }
  | { readonly type: 'exchange'; readonly exchange: Omit<Exchange, 'programs'> }
  | { readonly type: 'done' };

export interface Journal {
  write(exchange: Exchange): Promise<void>;
  read(): Promise<{ exchange: Exchange; done: boolean } | undefined>;
  markDone(): Promise<void>;
}

/** The journal in a table of a schema. */
export function journalIn(session: Session, schema: string, table: string): Journal {
  const name = qualified(schema, table);
  const add = (entry: Entry) =>
    session.query(`INSERT INTO ${name} (entry) VALUES (?)`, [JSON.stringify(entry)]);
  return {
    write: async ({ programs, before, ...rest }) => {
      await session.query(
        `CREATE OR REPLACE TABLE ${name} (id INT PRIMARY KEY AUTO_INCREMENT, entry LONGTEXT CHARACTER SET utf8mb4 NOT NULL)
         ENGINE = InnoDB`,
      );
      for (const program of programs) await add({ type: 'program', program });
      for (const program of before.programs) await add({ type: 'program before', program });
      await add({ type: 'exchange', exchange: { ...rest, before: { ...before, programs: [] } } });
    },
    read: async () => {
      const rows = await session.query<{ entry: string }>(`SELECT entry FROM ${name} ORDER BY id`);
      const entries = rows.map(({ entry }) => JSON.parse(entry) as Entry);
      const found = entries.find((entry) => entry.type === 'exchange');
      if (!found) return undefined;
      const programs = (type: Entry['type']) =>
        entries.flatMap((entry) => ('program' in entry && entry.type === type ? [entry.program] : []));
      const { before, ...rest } = found.exchange;
      const exchange = {
        ...rest,
        programs: programs('program'),
        before: { ...before, programs: programs('program before') },
      };
      return { exchange, done: entries.some((entry) => entry.type === 'done') };
    },
    markDone: async () => {
      await add({ type: 'done' });
    },
  };
}
