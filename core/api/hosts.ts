import { invalidParameter, messageOf } from '../sdk/errors.js'
import type { ApiOptions, TlsOptions } from './services.js'
import { chooseActivated, parseTcpHost } from './tcp-socket.js'
import { checkPlace } from './unix-socket.js'

/** A certificate and a key that do not belong together, or are none, are told before anything is served. */
async function checkTls({ cert, key, ca }: TlsOptions): Promise<void> {
  const { createSecureContext } = await import('node:tls')
  try {
    createSecureContext({ cert, key, ...(ca === undefined ? {} : { ca }) })
  } catch (error) {
    throw invalidParameter(`tlscert, tlskey or tlscacert cannot be used: ${messageOf(error)}`, { cause: error })
  }
}

/** Rejects when a host cannot be listened on: asked before a boot changes anything. What is wrong with the form of a path is told later. */
export async function checkHost(host: string, options: Pick<ApiOptions, 'tls' | 'activated'>): Promise<void> {
  if (host.startsWith('unix:///')) await checkPlace(host.slice('unix://'.length))
  if (host.startsWith('fd://')) chooseActivated(host, host.slice('fd://'.length), options.activated ?? [])
  if (!host.startsWith('tcp://')) return
  parseTcpHost(host, options.tls !== undefined)
  if (options.tls !== undefined) await checkTls(options.tls)
}
