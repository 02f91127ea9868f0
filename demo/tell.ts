import { DemoFailed } from './demo-failed.ts';
import { lookAround } from './keep.ts';
import { type Narrator, seconds } from './narrate.ts';
import type { Options } from './options.ts';
import { playScenario } from './scenario.ts';
import { type Stage, setStage } from './stage.ts';

/** As shells have it for SIGINT. */
export const interrupted = 130;

/** Tells the whole story. Resolves with the exit code: 0 only when every comparison held; 130 when it was interrupted. */
export async function tell(
  { dataset, stores, size, keep }: Options,
  narrator: Narrator,
  signal: AbortSignal,
): Promise<number> {
  const startedAt = performance.now();
  const stack = new AsyncDisposableStack();
  let stage: Stage | undefined;
  try {
    narrator.say(
      `Forestay backs up, restores and recovers instances of data services. You will see that with ${dataset.engine}: with real processes in a temp folder of this machine, which disappears at the end.`,
    );
    narrator.act('Set the stage');
    dataset.prepareMachine();
    stores.prepareMachine();
    stage = await setStage({ dataset, stores, size }, stack, narrator, signal);
    const { results, recoveredGuid } = await playScenario(dataset, stage, narrator, signal);
    narrator.act('What it took');
    narrator.table([['', 'time', 'size'], ...results]);
    narrator.say(
      `Everything came back, twice, in ${seconds(performance.now() - startedAt)} for the whole story.`,
    );
    if (keep) await lookAround(stage, recoveredGuid, narrator, signal);
    return 0;
  } catch (error) {
    if (signal.aborted) {
      narrator.say('Interrupted.');
      return interrupted;
    }
    tellFailure(error, stage, narrator);
    return 1;
  } finally {
    if (signal.aborted) narrator.say('Cleaning up.');
    await stack.disposeAsync();
  }
}

function tellFailure(error: unknown, stage: Stage | undefined, narrator: Narrator): void {
  narrator.bad(`The demo failed: ${error instanceof Error ? error.message : String(error)}`);
  if (error instanceof DemoFailed) for (const line of error.details) narrator.say(`- ${line}`);
  else if (error instanceof Error) narrator.quote(error.stack ?? '');
  for (const [name, side] of Object.entries({ A: stage?.a, B: stage?.b })) {
    for (const line of side?.site.lastWords() ?? []) narrator.quote(`site ${name}: ${line}`);
  }
}
