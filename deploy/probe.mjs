// Asks the server of this container whether it takes requests: exit code 0 when it does.
// MEMBRANE_PROBE_URL names another server, such as one that speaks TLS.
const port = process.env.MEMBRANE_PORT ?? '8080'
const url = process.env.MEMBRANE_PROBE_URL ?? `http://127.0.0.1:${port}/readyz`
try {
  const answer = await fetch(url, { signal: AbortSignal.timeout(2500) })
  process.exitCode = answer.ok ? 0 : 1
} catch {
  process.exitCode = 1
}
