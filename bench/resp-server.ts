/** A RESP door over a fabric in memory, as a process of its own: prints its port and waits to be ended. */
import { BodyBudget } from '../src/server/body-budget.ts'
import { openRespWorld } from '../test/resp-fixtures.ts'

const socketPath = process.argv[2] ?? ''
const budget = new BodyBudget(1024 ** 3)
const common = { budget, payloadBytesMax: 512 * 1024 ** 2 }
const tcp = await openRespWorld(common)
// One memory behind both doors.
const unix = await openRespWorld({
  ...common,
  address: { kind: 'unix', path: socketPath },
  operations: tcp.operations,
})
console.log(JSON.stringify({ port: tcp.port, socketPath }))
process.once('SIGTERM', () => {
  void Promise.all([tcp.close(), unix.close()]).then(() => process.exit(0))
})
