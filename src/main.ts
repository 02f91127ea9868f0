#!/usr/bin/env node
/**
 * The executable. Nothing is imported before the version of Node is known to be able to run it; where Node is older than
 * 22.18 it refuses this file by itself, which is what bin/forestay.js is for.
 */
const oldest = 24;

if (Number(process.versions.node.split('.')[0]) < oldest) {
  process.stderr.write(
    `error: Forestay needs Node ${oldest} or newer; this is ${process.version}.\n` +
      'hint: Run it with the Node that comes along: npm start, or npx node src/main.ts <command>\n',
  );
  process.exitCode = 1;
} else {
  const { keepCompiledCode } = await import('./compiled-code.ts');
  keepCompiledCode(process.argv.slice(2));
  const { holdSmall } = await import('./young-generation.ts');
  holdSmall();
  const { runProcess } = await import('./cli/process.ts');
  await runProcess(process.argv.slice(2), { openSite: async () => (await import('./app.ts')).site });
}
