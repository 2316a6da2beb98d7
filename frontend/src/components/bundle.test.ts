import { describe, expect, it } from 'vitest'
import { bundleFiles, tar, whyNoBundle } from './bundle'
import { steps } from './commands'

const URL = 'wss://flowgate.example.com/v1/opamp'
const UID = '0198e4b0-7c1d-7a3e-9f00-000000000001'

describe('a ready folder', () => {
  it('has the settings in a file that only its owner reads', () => {
    const files = bundleFiles({ mode: 'supervisor', url: URL, token: 'fge_x', instanceId: UID }, 'edge-7')
    const env = files.find((file) => file.name === '.env')!
    expect(env.mode).toBe(0o600)
    expect(env.text).toContain(`USE_SUPERVISOR=true\n`)
    expect(env.text).toContain(`FLOWGATE_INSTANCE_UID=${UID}\nFLOWGATE_ENROLLMENT_TOKEN=fge_x\n`)
    expect(files.filter((file) => file.text.includes('fge_x'))).toEqual([env])
  })
  it('is not made for what a container cannot reach, or a name that is none', () => {
    expect(whyNoBundle(URL, 'edge-7')).toBeNull()
    expect(whyNoBundle('ws://127.0.0.1:4320/v1/opamp', 'edge-7')).toMatch(/own loopback/)
    expect(whyNoBundle('ws://[::1]:4320/v1/opamp', 'edge-7')).toMatch(/own loopback/)
    expect(whyNoBundle('flowgate', 'edge-7')).toMatch(/not complete/)
    expect(whyNoBundle(URL, 'edge 7')).toMatch(/host name/)
  })
  it('is packed in whole blocks with a sum over each header', () => {
    const packed = tar('f', [{ name: 'a', mode: 0o600, text: 'hallo' }], new Date(0))
    expect(packed.length % 512).toBe(0)
    const header = packed.slice(512, 1024)
    const stored = Number.parseInt(new TextDecoder().decode(header.slice(148, 154)), 8)
    header.fill(32, 148, 156)
    expect(header.reduce((sum, byte) => sum + byte, 0)).toBe(stored)
    expect(new TextDecoder().decode(packed.slice(1024, 1029))).toBe('hallo')
  })
})

it.each(['linux', 'docker', 'kubernetes'] as const)('an agent that moves keeps its identity on %s', (platform) => {
  const choice = { mode: 'supervisor', platform, url: URL, token: 'fge_x' } as const
  const text = (more: object) => steps({ ...choice, ...more }).map((step) => step.text).join('')
  expect(text({ instanceId: UID })).toContain(UID)
  expect(text({})).not.toMatch(/instance_id|INSTANCE_UID/)
})
