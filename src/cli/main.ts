/**
 * The entry point. It reads nothing but the Node version before it loads the rest, because the rest uses what an
 * older Node does not have and would fail there with a syntax error instead of a sentence.
 */
const NEEDED = [22, 18] as const

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  process.stderr.write(`membrane needs Node ${NEEDED.join('.')} or newer; this is ${process.versions.node}.\n`)
  process.exitCode = 1
} else {
  const { run } = await import('./program.ts')
  await run(process.argv)
}
