/** The folder of `flowgate gateway bundle` as a download: the command's own files, and an .env with what is chosen. */
import collector from '../../../cli/src/flowgate_cli/bundle/collector.yaml?raw'
import compose from '../../../cli/src/flowgate_cli/bundle/docker-compose.yml?raw'
import readme from '../../../cli/src/flowgate_cli/bundle/README.md?raw'
import supervisor from '../../../cli/src/flowgate_cli/bundle/supervisor.yaml?raw'
import { type Choice, IMAGE } from './commands'

export interface BundleFile {
  name: string
  /** Permissions, as chmod takes them. */
  mode: number
  text: string
}

const NAME = /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/
const LOOPBACK = /^(localhost|127\.0\.0\.1|\[?::1\]?)$/

/** Why no folder can be made for this address and host name; null when one can. */
export function whyNoBundle(url: string, name: string): string | null {
  if (!NAME.test(name)) return 'The host name is letters, digits and -, at most 63'
  try {
    const { hostname, protocol } = new URL(url)
    if (!['ws:', 'wss:', 'http:', 'https:'].includes(protocol)) return "FlowGate's address begins with ws:// or wss://"
    if (LOOPBACK.test(hostname)) {
      return `A container does not reach ${url}: that is its own loopback. Give an address of FlowGate's machine, and let FlowGate listen there (flowgate up --opamp-host)`
    }
  } catch {
    return "FlowGate's address is not complete"
  }
  return null
}

/** The files; the container's account reads all but .env, which holds the token. */
export function bundleFiles({ mode, url, token, instanceId = '' }: Omit<Choice, 'platform'>, hostName: string): BundleFile[] {
  const settings = {
    USE_SUPERVISOR: mode === 'supervisor',
    FLOWGATE_GATEWAY_IMAGE: IMAGE,
    GATEWAY_HOSTNAME: hostName,
    FLOWGATE_OPAMP_ENDPOINT: url,
    FLOWGATE_INSTANCE_UID: instanceId,
    FLOWGATE_ENROLLMENT_TOKEN: token,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
  return [
    { name: 'docker-compose.yml', mode: 0o644, text: compose },
    { name: 'supervisor.yaml', mode: 0o644, text: supervisor },
    { name: 'collector.yaml', mode: 0o644, text: collector },
    { name: 'README.md', mode: 0o644, text: readme },
    { name: '.env', mode: 0o600, text: `# Holds the enrollment token: keep the file private.\n${lines.join('')}` },
  ]
}

const BLOCK = 512 // bytes

/** Files in a folder as a tar archive (POSIX ustar). */
export function tar(folder: string, files: BundleFile[], now: Date): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = []
  const encoder = new TextEncoder()
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits - 1, '0')}\0`
  const add = (name: string, mode: number, type: '0' | '5', body: Uint8Array) => {
    const header = new Uint8Array(BLOCK)
    const put = (text: string, at: number) => header.set(encoder.encode(text), at)
    put(name, 0)
    put(octal(mode, 8), 100)
    put(octal(0, 8), 108) // whoever unpacks it owns it
    put(octal(0, 8), 116)
    put(octal(body.length, 12), 124)
    put(octal(Math.floor(now.getTime() / 1000), 12), 136)
    put(' '.repeat(8), 148)
    put(type, 156)
    put('ustar\x0000', 257)
    put(`${octal(header.reduce((sum, byte) => sum + byte, 0), 7)} `, 148)
    parts.push(header, body, new Uint8Array(-body.length & (BLOCK - 1)))
  }
  add(`${folder}/`, 0o755, '5', new Uint8Array())
  for (const file of files) add(`${folder}/${file.name}`, file.mode, '0', encoder.encode(file.text))
  parts.push(new Uint8Array(2 * BLOCK))
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Give the folder to the browser as <folder>.tar.gz. */
export async function downloadBundle(folder: string, files: BundleFile[]): Promise<void> {
  const packed = new Blob([tar(folder, files, new Date())]).stream().pipeThrough(new CompressionStream('gzip'))
  const url = URL.createObjectURL(await new Response(packed, { headers: { 'Content-Type': 'application/gzip' } }).blob())
  const link = document.createElement('a')
  link.href = url
  link.download = `${folder}.tar.gz`
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000) // the browser has read it by then
}
