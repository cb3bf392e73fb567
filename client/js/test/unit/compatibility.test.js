// What docs/compatibility.md says of this client, row by row.
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { connectTab, openTab, World } from './setup.js'

const text = await readFile(new URL('../../../../docs/compatibility.md', import.meta.url), 'utf8')
const [, table] = /\| \| plain \| `carillon-client` \|\n\|---\|---\|---\|\n([^]*?)\n\n/.exec(text)
/** The first cell of each row. */
const rows = new Set(table.split('\n').map((row) => row.split(' | ')[0].slice(2)))

/** A row, and what shows that it is so. */
function row(name, holds) {
  test(name, async () => {
    assert.ok(rows.delete(name), 'the document has no such row')
    await holds(new World())
  })
}

row('a second `on` for a type', async (world) => {
  const tab = await connectTab(world)
  const given = []
  const off = tab.client.on('test', () => { given.push('first') })
  tab.client.on('test', () => { given.push('second') })
  world.server.send('alice', { type: 'test' })
  await world.advance(50)
  off()
  world.server.send('alice', { type: 'test' })
  await world.advance(50)
  assert.deepEqual(given, ['first', 'second', 'second'])
})

row('`subscribe` twice, then `unsubscribe` once', async (world) => {
  const tab = await connectTab(world)
  tab.client.subscribe('orders')
  tab.client.subscribe('orders')
  tab.client.unsubscribe('orders')
  await world.advance(100)
  const id = world.server.publish('orders', { type: 'test' })
  await world.advance(50)
  tab.client.unsubscribe('orders')
  await world.advance(50)
  world.server.publish('orders', { type: 'test' })
  await world.advance(50)
  assert.deepEqual(tab.given, [id])
})

row('a notification whose handler is attached later', async (world) => {
  const tab = openTab(world)
  tab.client.connect()
  await world.advance(100)
  const id = world.server.send('alice', { type: 'late' })
  await world.advance(5_000)
  tab.client.on('late', (notification) => { tab.given.push(notification.id) })
  await world.advance(0)
  assert.deepEqual(tab.given, [id])
})

row('what comes again after a break', async (world) => {
  const tab = await connectTab(world)
  const id = world.server.send('alice', { type: 'test' })
  await world.advance(6)
  world.network.cut()
  await world.advance(5_000)
  assert.deepEqual([tab.given, tab.client.stats.duplicates], [[id], 1])
})

row('a handler that throws', async (world) => {
  const tab = await connectTab(world)
  tab.client.on('test', () => { throw new Error('mine') })
  const ids = [world.server.send('alice', { type: 'test' }), world.server.send('alice', { type: 'test' })]
  await world.advance(50)
  assert.deepEqual([tab.given, tab.errors.map(({ code }) => code), tab.client.state], [ids, ['handler_failed', 'handler_failed'], 'connected'])
})

row('a broken connection', async (world) => {
  world.network.isUp = false
  const [ours, plain] = [openTab(world), openTab(world, { backoff: { jitter: false, maxAttempts: 10 } })]
  ours.client.connect()
  plain.client.connect()
  await world.advance(400_000)
  assert.deepEqual(plain.states.filter(({ state }) => state === 'waiting').map(({ retryInMs }) => retryInMs / 1_000), [1, 2, 4, 8, 16, 30, 30, 30, 30, 30])
  assert.deepEqual([plain.client.state, ours.states.some(({ state }) => state === 'failed')], ['failed', false])
})

row('notifications of the types `state`, `drain` and `notification`', async (world) => {
  const tab = await connectTab(world)
  const own = []
  for (const type of ['state', 'drain', 'notification']) {
    if (type !== 'notification') tab.client.on(type, ({ id }) => { if (id) own.push(type) })
    world.server.send('alice', { type })
  }
  await world.advance(50)
  assert.deepEqual([own, tab.given.length], [[], 3])
})

test('every row was looked at', () => assert.deepEqual([...rows], []))
