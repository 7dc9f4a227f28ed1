/** Certificates of the doors: read from PEM files and checked before a client finds out what is wrong with them. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { open } from 'node:fs/promises'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'

/** Where the files are. */
export interface TlsPaths {
  readonly certFile: string
  readonly keyFile: string
  /** Null asks clients for no certificate. */
  readonly clientCaFile: string | null
}

/** PEM, as doors take it. */
export interface TlsMaterial {
  readonly cert: string
  readonly key: string
  readonly clientCa: string | null
}

/** What was read, and what is worth a warning. */
export interface LoadedTls {
  readonly material: TlsMaterial
  readonly expiresAtMs: number
  /** SHA-256 of the certificate, with colons: changes when it does. */
  readonly fingerprint256: string
  readonly notes: readonly string[]
}

/** Time to renew what renews itself. */
const EXPIRY_NOTE_MS = 14 * 86_400_000
const DAY_MS = 86_400_000
/** Bits that let others than the owner read a file. */
const OTHERS_MAY_READ = 0o044

/**
 * Throws FILE_UNREADABLE, and INVALID_CONFIG for what is no PEM, a key that is encrypted or is not the certificate's, and a
 * certificate that is not valid yet or no longer. Refusals quote nothing of a key.
 */
export async function loadTls({ certFile, keyFile, clientCaFile }: TlsPaths, clock: Clock): Promise<LoadedTls> {
  const [cert, key, clientCa] = await Promise.all([
    readPem(certFile),
    readPem(keyFile),
    clientCaFile === null ? null : readPem(clientCaFile),
  ])
  const notes: string[] = []
  const [certificate] = certificatesOf(cert.text, certFile)
  const nowMs = clock.nowMs()
  checkTimes(certificate, certFile, nowMs, notes)
  checkKey(certificate, key.text, { certFile, keyFile })
  if ((key.mode & OTHERS_MAY_READ) !== 0)
    notes.push(`${keyFile} is a private key, and others can read it: chmod 600 ${keyFile}`)
  if (clientCa !== null && clientCaFile !== null)
    for (const authority of certificatesOf(clientCa.text, clientCaFile))
      checkTimes(authority, clientCaFile, nowMs, notes)
  return {
    material: { cert: cert.text, key: key.text, clientCa: clientCa?.text ?? null },
    expiresAtMs: Date.parse(certificate.validTo),
    fingerprint256: certificate.fingerprint256,
    notes,
  }
}

function checkTimes(certificate: X509Certificate, path: string, nowMs: number, notes: string[]): void {
  const [fromMs, toMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)]
  if (nowMs < fromMs || nowMs >= toMs)
    throw new MembraneError(
      'INVALID_CONFIG',
      `${path}: the certificate ${nowMs < fromMs ? `is valid from ${certificate.validFrom} on` : `expired on ${certificate.validTo}`}.`,
      { remedy: 'Renew it, or check the clock of this machine.', details: { path, fromMs, toMs, nowMs } },
    )
  if (toMs - nowMs < EXPIRY_NOTE_MS)
    notes.push(
      `${path}: the certificate expires in ${Math.floor((toMs - nowMs) / DAY_MS)} days, on ${certificate.validTo}.`,
    )
}

function checkKey(
  certificate: X509Certificate,
  pem: string,
  { certFile, keyFile }: Pick<TlsPaths, 'certFile' | 'keyFile'>,
): void {
  if (pem.includes('ENCRYPTED'))
    throw new MembraneError(
      'INVALID_CONFIG',
      `${keyFile}: the private key has a passphrase, which nobody is there to type.`,
      {
        remedy: `Take it off: openssl pkey -in ${keyFile} -out plain.key`,
        details: { path: keyFile },
      },
    )
  const key = parsed(() => createPrivateKey(pem), `${keyFile} holds no private key in PEM form.`, keyFile)
  if (certificate.checkPrivateKey(key)) return
  throw new MembraneError('INVALID_CONFIG', `${keyFile} is not the key of the certificate in ${certFile}.`, {
    remedy: 'Give the files that were made together; the own certificate comes first in a chain.',
    details: { certFile, keyFile },
  })
}

/** At least one. */
function certificatesOf(text: string, path: string): readonly [X509Certificate, ...X509Certificate[]] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  const [first, ...others] = blocks.map((pem) =>
    parsed(() => new X509Certificate(pem), `${path} holds a certificate that is damaged.`, path),
  )
  if (first !== undefined) return [first, ...others]
  throw new MembraneError('INVALID_CONFIG', `${path} holds no certificate in PEM form.`, { details: { path } })
}

/** Without the library's error, which may quote what it read. */
function parsed<T>(parse: () => T, message: string, path: string): T {
  try {
    return parse()
  } catch {
    throw new MembraneError('INVALID_CONFIG', message, { details: { path } })
  }
}

async function readPem(path: string): Promise<{ readonly text: string; readonly mode: number }> {
  try {
    const file = await open(path, 'r')
    try {
      const { size, mode } = await file.stat()
      if (size > LIMITS.pemFileBytesMax)
        throw new MembraneError('INVALID_CONFIG', `${path} has ${size} bytes, which no certificate has.`, {
          details: { path, bytes: size },
        })
      return { text: await file.readFile('utf8'), mode }
    } finally {
      await file.close()
    }
  } catch (cause) {
    if (cause instanceof MembraneError) throw cause
    throw new MembraneError('FILE_UNREADABLE', `${path} cannot be read; expected a certificate or key in PEM form.`, {
      cause,
      details: { path },
    })
  }
}
