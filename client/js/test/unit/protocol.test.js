// The protocol as docs/protocol.md has it: what the fake server sends is of it, and so is what the client does.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { pause, subject, subprotocols, verdict } from '../../src/protocol.js'
import { connectTab, sendMany, World } from './setup.js'

const document = await readFile(new URL('../../../../docs/protocol.md', import.meta.url), 'utf8')

/** The fields of each frame that the document shows after an arrow. */
function shown(arrow) {
  const block = /```jsonc\n([^]*?)```/.exec(document)[1]
  const fields = new Map()
  for (const [, side, rest] of block.matchAll(/([→←])[^{→←]*(\{[^→←]*)/g)) {
    if (side !== arrow) continue
    let end = 0
    for (let depth = 0; end < rest.length; end++) {
      depth += { '{': 1, '}': -1 }[rest[end]] ?? 0
      if (depth === 0) break
    }
    const frame = JSON.parse(rest.slice(0, end + 1))
    fields.set(frame.type, new Set([...fields.get(frame.type) ?? [], ...Object.keys(frame), 'ref']))
  }
  assert.ok(fields.size > 4)
  return fields
}

test('the fake server sends, and the client sends, what is documented', async () => {
  const world = new World()
  const received = []
  const tab = await connectTab(world, { log: (direction, frame) => received.push([direction, frame]) })
  world.server.forbidden.add('secret')
  tab.client.subscribe('orders', { durable: true })
  tab.client.subscribe('secret')
  tab.client.send({ type: 'ping' })
  sendMany(world, 1)
  await world.advance(1_000)
  world.server.publish('orders', { type: 'a' })
  tab.client.unsubscribe('orders')
  tab.client.setToken(world.token())
  await world.advance(1_000)
  world.server.lose()
  world.server.drain()
  await world.advance(20_000)
  const [down, up] = [shown('←'), shown('→')]
  down.set('test', new Set([...down.get('order.shipped'), 'cursor', 'expires_at', 'replayed', 'stored_at']))
  down.set('a', down.get('test'))
  const kinds = new Set()
  for (const [direction, frame] of received) {
    const fields = (direction === 'in' ? down : up).get(frame.type)
    assert.ok(fields, `${direction} ${frame.type} is not documented`)
    for (const name of Object.keys(frame)) assert.ok(fields.has(name) || frame[name] === undefined, `${direction} ${frame.type}.${name}`)
    kinds.add(`${direction} ${frame.type}`)
  }
  for (const kind of ['in welcome', 'in replayed', 'in subscribed', 'in unsubscribed', 'in error', 'in pong', 'in authenticated', 'in gap',
    'in reconnect', 'out subscribe', 'out unsubscribe', 'out ack', 'out auth', 'out ping']) assert.ok(kinds.has(kind), kind)
  const welcome = received.find(([, frame]) => frame.type === 'welcome')[1]
  assert.deepEqual(new Set([...Object.keys(welcome), 'ref']), down.get('welcome'))
})

test('close codes are answered as documented', () => {
  const codes = [...document.matchAll(/^\| (\d{4}) \|/gm)].map(([, code]) => Number(code))
  assert.ok(codes.length > 15)
  const expected = { 4001: 'refresh', 4008: 'pause', 4009: 'fresh', 4201: 'renew' }
  const ranges = { 40: 'stop', 41: 'later', 42: 'now' }
  for (const code of codes) assert.equal(verdict(code), expected[code] ?? ranges[Math.floor(code / 100)] ?? 'pause', `${code}`)
})

test('pauses double up to the longest, and are drawn below that', () => {
  const backoff = { baseMs: 1000, maxMs: 30_000, jitter: true }
  assert.deepEqual([0, 1, 4, 5, 2000].map((attempt) => pause(attempt, backoff, 1)), [1000, 2000, 16_000, 30_000, 30_000])
  assert.deepEqual([pause(3, backoff, 0), pause(3, backoff, 0.5), pause(3, { ...backoff, jitter: false }, 0)], [0, 4000, 8000])
})

test('tokens are offered as RFC 4648 has it, and their user is read', () => {
  const [, item] = subprotocols('a.b?>~.c')
  assert.equal(Buffer.from(item.slice('bearer.'.length), 'base64url').toString(), 'a.b?>~.c')
  assert.match(item, /^bearer\.[\w-]+$/)
  const token = `x.${Buffer.from('{"sub":"alice"}').toString('base64url')}.y`
  assert.deepEqual([subject(token), subject('opaque'), subject('')], ['alice', undefined, undefined])
})
