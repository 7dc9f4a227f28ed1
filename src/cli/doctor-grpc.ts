/** The check of `membrane doctor` over gRPC. */
import { randomBytes } from 'node:crypto'
import { GrpcClient } from '../api/grpc-client.ts'
import { type Check, failed, type Finding, ok } from './doctor-check.ts'
import type { DoctorTarget } from './doctor-wire.ts'
import { bytesText } from './units.ts'

const VALUE_BYTES = 1024 * 1024

/** Writes, reads back, compares and removes. */
export function grpcCheck({ address, tls }: DoctorTarget, token: string | null): Check {
  return {
    name: 'gRPC door',
    run: async (signal) => {
      const target = address.startsWith('/') ? `unix:${address}` : address
      const client = new GrpcClient({ target, token, tls: tls === null ? null : { ca: tls.ca, identity: null } })
      try {
        return await exchange(client, signal)
      } finally {
        client.close()
      }
    },
  }
}

async function exchange(client: GrpcClient, signal: AbortSignal): Promise<Finding> {
  const startMs = performance.now()
  if (!(await client.isServing()))
    return failed('It says that it does not serve.', 'It is shutting down: start it again.')
  const payload = randomBytes(VALUE_BYTES)
  const { key } = await client.put({ payload, signal })
  try {
    const found = await client.get(key, { signal })
    if (found === null || !payload.equals(found.payload))
      return failed('Get gave other bytes than Put took.', 'Do not use this server: report it.')
  } finally {
    await client.remove([key])
  }
  return ok(`${bytesText(VALUE_BYTES)} written, read back and equal in ${Math.round(performance.now() - startMs)} ms`)
}
