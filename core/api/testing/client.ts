import http from 'node:http'

export interface Answer {
  status: number
  headers: http.IncomingHttpHeaders
  text: string
  message: string
}

/** One request over the socket. */
export function request(
  socketPath: string,
  method: string,
  path: string,
  body?: string | Buffer | Record<string, unknown>,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    const json = payload === undefined || headers['Content-Type'] !== undefined ? {} : { 'Content-Type': 'application/json' }
    const outgoing = http.request({ socketPath, method, path, agent: false, headers: { ...json, ...headers } }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString()
        let message = ''
        try {
          message = (JSON.parse(text) as { message?: string }).message ?? ''
        } catch {
          // Not JSON.
        }
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, message })
      })
    })
    outgoing.on('error', reject)
    outgoing.end(payload)
  })
}
