// Channels over reconnects.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectTab, openTab, World } from './setup.js'

test('a subscription outlives connections, and goes on where it was', async () => {
  const world = new World()
  const tab = await connectTab(world)
  const answer = await Promise.all([tab.client.subscribe('orders'), world.advance(100)])
  assert.deepEqual([answer[0].channel, answer[0].recovered], ['orders', true])
  const ids = [world.server.publish('orders', { type: 'a' })]
  await world.advance(100)
  for (let n = 0; n < 5; n++) {
    world.network.cut()
    ids.push(world.server.publish('orders', { type: 'a' }))
    await world.advance(5_000)
    ids.push(world.server.publish('orders', { type: 'a' }))
  }
  await world.advance(100)
  assert.deepEqual(tab.given, ids)
  assert.equal(tab.gaps.length, 0)
})

test('asked for before there is a connection', async () => {
  const world = new World()
  const tab = openTab(world)
  const joined = tab.client.subscribe('orders')
  tab.client.connect()
  await world.advance(100)
  assert.equal((await joined).channel, 'orders')
})

test('one bad channel blocks no other, and says so', async () => {
  const world = new World()
  world.server.forbidden.add('secret')
  const tab = await connectTab(world)
  const refused = tab.client.subscribe('secret')
  const joined = tab.client.subscribe('orders')
  await world.advance(100)
  await assert.rejects(refused, { code: 'channel_forbidden', channel: 'secret' })
  await joined
  assert.deepEqual(tab.errors.map((it) => [it.code, it.channel]), [['channel_forbidden', 'secret']])
  world.server.heard.length = 0
  world.network.cut()
  await world.advance(5_000)
  assert.deepEqual(world.server.heard.filter((it) => it.type === 'subscribe').map((it) => it.channel), ['orders'])
})

test('as often as it is asked for, it has to be left', async () => {
  const world = new World()
  const tab = await connectTab(world)
  tab.client.subscribe('orders')
  tab.client.subscribe('orders')
  await world.advance(100)
  tab.client.unsubscribe('orders')
  await world.advance(100)
  const ids = [world.server.publish('orders', { type: 'a' })]
  await world.advance(100)
  tab.client.unsubscribe('orders')
  tab.client.unsubscribe('orders')
  await world.advance(100)
  world.server.publish('orders', { type: 'a' })
  await world.advance(100)
  assert.deepEqual(tab.given, ids)
  const sent = world.server.heard.map((it) => it.type).filter((it) => it.endsWith('subscribe'))
  assert.deepEqual(sent, ['subscribe', 'unsubscribe'])
})

test('left and joined again: nothing of in between', async () => {
  const world = new World()
  const tab = await connectTab(world)
  tab.client.subscribe('orders')
  await world.advance(100)
  tab.client.unsubscribe('orders')
  await world.advance(100)
  world.server.publish('orders', { type: 'a' })
  tab.client.subscribe('orders')
  await world.advance(100)
  const ids = [world.server.publish('orders', { type: 'a' })]
  await world.advance(100)
  assert.deepEqual(tab.given, ids)
})

test('a hundred channels are asked for as fast as may be, not faster', async () => {
  const world = new World()
  const tab = await connectTab(world)
  const all = Array.from({ length: 100 }, (_, n) => tab.client.subscribe(`channel-${n}`))
  await world.advance(10_000)
  await Promise.all(all)
  assert.ok(world.server.fastest <= 40, `${world.server.fastest} in a second`)
  world.network.cut()
  await world.advance(10_000)
  const [connection] = world.server.connections
  assert.equal(connection.channels.size, 100)
  assert.ok(world.server.fastest <= 40, `${world.server.fastest} in a second`)
})

test('the server ends one', async () => {
  const world = new World()
  const tab = await connectTab(world)
  tab.client.subscribe('orders')
  await world.advance(100)
  world.server.tell({ type: 'unsubscribed', channel: 'orders', code: 'channel_forbidden' })
  await world.advance(100)
  assert.deepEqual(tab.errors.map((it) => [it.code, it.channel]), [['channel_forbidden', 'orders']])
  world.server.heard.length = 0
  world.network.cut()
  await world.advance(5_000)
  assert.deepEqual(world.server.heard.filter((it) => it.type === 'subscribe'), [])
})

test('a refusal that may be over is tried again', async () => {
  const world = new World()
  const tab = await connectTab(world)
  const joined = tab.client.subscribe('orders')
  const { ref } = await (async () => { await world.advance(20); return world.server.heard.at(-1) })()
  world.server.tell({ type: 'error', code: 'unavailable', message: 'later', retryable: true, channel: 'orders', ref })
  await world.advance(5_000)
  await joined
  assert.equal(world.server.heard.filter((it) => it.type === 'subscribe').length, 2)
})

test('after a loss of the store kept subscriptions are asked for again', async () => {
  const world = new World()
  const tab = await connectTab(world)
  tab.client.subscribe('orders', { durable: true })
  await world.advance(100)
  world.server.heard.length = 0
  world.server.tell({ type: 'gap', channel: null, reason: 'rewound', resume: '1-2' })
  await world.advance(100)
  assert.deepEqual(world.server.heard.map((it) => [it.type, it.durable]), [['subscribe', true]])
})

test('a position of one\'s own', async () => {
  const world = new World()
  const other = await connectTab(world, { token: world.token('bob') })
  const [{ cursor: since }] = await Promise.all([other.client.subscribe('orders'), world.advance(100)])
  const ids = [1, 2].map(() => world.server.publish('orders', { type: 'a' }))
  const tab = await connectTab(world)
  const [answer] = await Promise.all([tab.client.subscribe('orders', { since }), world.advance(100)])
  assert.equal(answer.recovered, true)
  assert.deepEqual(tab.given, ids)
})
