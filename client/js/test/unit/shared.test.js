// One socket for all tabs.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SharedClient } from 'carillon-client/shared'
import { sendMany, World } from './setup.js'

/** A tab with a shared client; with a handler unless it says otherwise. */
async function openTab(world, { handler = true, page = world.page(), ...options } = {}) {
  const client = new SharedClient({ url: 'wss://push.example', token: world.token(), scope: page.scope, ...options })
  const tab = { client, page, given: [], states: [], errors: [], gaps: [] }
  if (handler) client.on('notification', ({ id }) => { tab.given.push(id) })
  client.on('state', (event) => { tab.states.push(event.state) })
  client.on('error', (error) => { tab.errors.push(error) })
  client.on('gap', (gap) => { tab.gaps.push(gap) })
  client.connect()
  await world.advance(200)
  return tab
}

const openTabs = async (world, count) => {
  const tabs = []
  for (let n = 0; n < count; n++) tabs.push(await openTab(world))
  return tabs
}

test('ten tabs have one socket, and each is given everything', async () => {
  const world = new World()
  const tabs = await openTabs(world, 10)
  const ids = sendMany(world, 5)
  await world.advance(1_000)
  assert.equal(world.network.sockets.size, 1)
  assert.deepEqual(tabs.map((it) => it.client.isLeader), [true, ...Array(9).fill(false)])
  for (const tab of tabs) assert.deepEqual([tab.given, tab.client.state, tab.errors], [ids, 'connected', []])
  assert.equal(world.server.acked('alice', world.localStorage['carillon.device']), world.server.inbox('alice').end)
})

for (const how of ['crash', 'close', 'cached']) {
  test(`the tab that leads goes (${how}), again and again, while notifications come`, async () => {
    const world = new World(3)
    const tabs = await openTabs(world, 10)
    const ids = []
    while (tabs.length > 1) {
      ids.push(...sendMany(world, 2))
      await world.advance(5 + world.random() * 5)
      const at = tabs.findIndex((it) => it.client.isLeader)
      const [leader] = tabs.splice(at, 1)
      if (how === 'crash') leader.page.crash()
      else if (how === 'close') leader.client.disconnect()
      else leader.page.leave()
      ids.push(...sendMany(world, 2))
      await world.advance(5_000)
      assert.equal(world.network.sockets.size, 1)
    }
    ids.push(...sendMany(world, 1))
    await world.advance(2_000)
    const [last] = tabs
    assert.deepEqual([last.given, last.gaps, last.errors], [ids, [], []])
    assert.equal(world.server.acked('alice', world.localStorage['carillon.device']), world.server.inbox('alice').end)
  })
}

test('a handler in another tab takes and acks; a tab that comes later is given what nobody took', async () => {
  const world = new World()
  const leader = await openTab(world, { handler: false })
  const ids = sendMany(world, 3)
  await world.advance(1_000)
  assert.equal(world.server.acked('alice', world.localStorage['carillon.device']), undefined)
  const other = await openTab(world)
  await world.advance(1_000)
  assert.deepEqual(other.given, ids)
  assert.equal(world.server.acked('alice', world.localStorage['carillon.device']), world.server.inbox('alice').end)
  leader.client.on('test', ({ id }) => { leader.given.push(id) })
  await world.advance(100)
  assert.deepEqual(leader.given, ids)
})

test('a channel that two tabs joined is left when both have, or are gone', async () => {
  const world = new World()
  const [leader, one, other] = await openTabs(world, 3)
  const channels = () => [...world.server.connections[0].channels]
  const answers = await Promise.all([one.client.subscribe('orders'), other.client.subscribe('orders'), world.advance(1_000)])
  assert.deepEqual([answers[0].channel, answers[1].channel, channels()], ['orders', 'orders', ['orders']])
  const ids = [world.server.publish('orders', { type: 'a' })]
  await world.advance(100)
  one.client.unsubscribe('orders')
  await world.advance(100)
  assert.deepEqual(channels(), ['orders'])
  ids.push(world.server.publish('orders', { type: 'a' }))
  await world.advance(100)
  other.page.crash()
  await world.advance(1_000)
  assert.deepEqual(channels(), [])
  assert.deepEqual(other.given, ids)
  assert.deepEqual(leader.errors, [])
})

test('channels go on under another leader, where they were', async () => {
  const world = new World()
  const [leader, one, other] = await openTabs(world, 3)
  one.client.subscribe('orders')
  await world.advance(100)
  const ids = [world.server.publish('orders', { type: 'a' })]
  await world.advance(100)
  leader.page.crash()
  ids.push(world.server.publish('orders', { type: 'a' }))
  await world.advance(5_000)
  ids.push(world.server.publish('orders', { type: 'a' }))
  await world.advance(100)
  assert.deepEqual(one.given, ids)
  assert.deepEqual([one.gaps, other.errors], [[], []])
})

test('a refused channel is refused where it was asked for', async () => {
  const world = new World()
  world.server.forbidden.add('secret')
  const [, one] = await openTabs(world, 2)
  const refused = one.client.subscribe('secret')
  await world.advance(1_000)
  await assert.rejects(refused, { code: 'channel_forbidden' })
})

test('a leader that its system stopped is replaced, and follows when it goes on', async () => {
  const world = new World()
  const [leader, other] = await openTabs(world, 2)
  leader.page.stop()
  // Its socket lives on for a while, and nobody reads it.
  const ids = sendMany(world, 2)
  await world.advance(1_000)
  other.page.show()
  await world.advance(10_000)
  assert.equal(other.client.isLeader, true)
  assert.deepEqual(other.given, ids)
  leader.page.goOn()
  await world.advance(10_000)
  assert.equal(leader.client.isLeader, false)
  ids.push(...sendMany(world, 2))
  await world.advance(1_000)
  assert.deepEqual([leader.given, other.given], [ids, ids])
  assert.equal(world.network.sockets.size, 1)
})

test('two users do not share', async () => {
  const world = new World()
  const alice = await openTab(world)
  const bob = await openTab(world, { token: world.token('bob') })
  const [a, b] = [sendMany(world, 1), sendMany(world, 1, 'bob')]
  await world.advance(1_000)
  assert.deepEqual([alice.given, bob.given, world.network.sockets.size], [a, b, 2])
})

test('where there are no locks each tab has a socket of its own', async () => {
  const world = new World()
  const pages = [world.page(), world.page()]
  for (const page of pages) delete page.navigator.locks
  const tabs = [await openTab(world, { page: pages[0] }), await openTab(world, { page: pages[1] })]
  const ids = sendMany(world, 2)
  await world.advance(1_000)
  assert.deepEqual(tabs.map((it) => it.given), [ids, ids])
  assert.equal(world.network.sockets.size, 2)
})

test('disconnect leaves nothing behind', async () => {
  const world = new World()
  const tab = await openTab(world)
  sendMany(world, 2)
  await world.advance(50)
  tab.client.disconnect()
  await world.advance(5_000)
  assert.deepEqual([tab.client.state, world.clock.pending, tab.page.listeners, world.network.sockets.size], ['closed', 0, 0, 0])
  tab.client.connect()
  const ids = sendMany(world, 2)
  await world.advance(1_000)
  assert.deepEqual(tab.given.slice(2), ids)
})
