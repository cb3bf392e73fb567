// Whatever happens, in whatever order: nothing is lost, nothing comes twice, and each log keeps its order.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SharedClient } from 'carillon-client/shared'
import { eventStream, socketOrStream } from 'carillon-client/sse'
import { openTab, World } from './setup.js'

const CODES = [1000, 1001, 1006, 1011, 1012, 4008, 4009, 4100, 4101, 4102, 4103, 4200, 4202, 4203]
const SEEDS = Number(process.env.SEEDS ?? 60)
const FIRST = Number(process.env.FIRST_SEED ?? 1)

/**
 * A tab that goes through whatever the seed says; what was sent, and what its handlers were given.
 * @param over What makes its transport; without, sockets.
 */
async function live(seed, over) {
  const world = new World(seed)
  // So that streams are full every now and then.
  world.server.unacked = 5
  const random = (n) => Math.floor(world.random() * n)
  const sent = { alice: [], '*': [], orders: [] }
  const [given, troubles, trace] = [[], [], []]
  let tab
  let attached = false
  const take = ({ id }) => { given.push(id) }
  const attach = () => {
    if (!attached) tab.client.on('test', take)
    attached = true
  }
  const open = (page = world.page()) => {
    tab = openTab(world, { token: world.token('alice', 1e9), WebSocket: over?.({ scope: page.scope }) }, page)
    attached = false
    tab.client.on('gap', (gap) => troubles.push(`gap ${gap.channel} ${gap.reason}`))
    // A stream that cannot be opened for a channel is told as a gateway tells it whose store is away, and tried again.
    const isTold = (error) => over && error.code === 'unavailable'
    tab.client.on('error', (error) => isTold(error) || troubles.push(`error ${error.message}`))
    tab.client.subscribe('orders')
    tab.client.connect()
    if (over || random(3)) attach()
  }
  const calm = () => {
    world.network.takesSockets = true
    world.network.isUp = true
    world.network.isFrozen = false
    tab.page.show()
    tab.page.online()
  }
  const events = {
    send: () => sent.alice.push(world.server.send('alice', { type: 'test' })),
    everyone: () => sent['*'].push(world.server.publish(null, { type: 'test' })),
    publish: () => sent.orders.push(world.server.publish('orders', { type: 'test' })),
    cut: () => world.network.cut(),
    freeze: () => { world.network.isFrozen = true },
    thaw: () => { world.network.isFrozen = false },
    down: () => { world.network.isUp = false },
    up: () => { world.network.isUp = true },
    slow: () => { world.network.latency = 1 + random(400) },
    close: () => world.server.close(CODES[random(CODES.length)]),
    drain: () => world.server.drain(1_000 + random(10_000)),
    jump: () => world.clock.jump(random(600_000) - 300_000),
    sleep: () => world.clock.sleep(random(600_000)),
    hide: () => tab.page.hide(),
    show: () => tab.page.show(),
    offline: () => tab.page.offline(),
    online: () => tab.page.online(),
    stop: () => tab.page.freeze(),
    resume: () => tab.page.resume(),
    cache: async () => {
      tab.page.leave()
      await world.advance(random(5_000))
      tab.page.comeBack()
    },
    reload: async () => {
      tab.page.leave()
      const { sessionStorage } = tab.page
      await world.advance(random(50))
      open(world.page(sessionStorage))
    },
    attach,
    detach: () => {
      // Over streams, what nobody takes for long is acked with what follows.
      if (over) return
      tab.client.off('test', take)
      attached = false
    },
    block: () => { world.network.takesSockets = !over || random(2) > 0 },
  }
  open()
  await world.advance(200)
  const names = Object.keys(events)
  for (let step = 0; step < 120; step++) {
    const name = random(3) ? names[random(3)] : names[random(names.length)]
    trace.push(name)
    await events[name]()
    await world.advance(random(4) ? random(100) : random(20_000))
  }
  calm()
  attach()
  await world.advance(240_000)
  const told = `seed ${seed}: ${trace.join(' ')}`
  assert.equal(tab.client.state, 'connected', told)
  assert.deepEqual(troubles, [], told)
  assert.equal(new Set(given).size, given.length, `something came twice; ${told}`)
  for (const [log, ids] of Object.entries(sent)) {
    assert.deepEqual(given.filter((id) => ids.includes(id)), ids, `${log}; ${told}`)
  }
  // The last on a stream are acked by the next.
  if (over) return
  assert.equal(world.server.acked('alice', world.localStorage['carillon.device']) ?? world.server.inbox('alice').base,
    world.server.inbox('alice').end, `not acked; ${told}`)
}

for (const [name, over] of [['', undefined], [' on event streams', eventStream], [' on what the network lets through', socketOrStream]]) {
  test(`${SEEDS} lives of a tab${name}`, async () => {
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) await live(seed, over)
  })
}

/** Tabs that share a socket, opened, closed, crashed, cached and stopped as the seed says. */
async function share(seed) {
  const world = new World(seed)
  const random = (n) => Math.floor(world.random() * n)
  const sent = []
  const trace = []
  let tabs = []
  const open = async () => {
    const page = world.page()
    const client = new SharedClient({ url: 'wss://push.example', token: world.token('alice', 1e9), scope: page.scope })
    const tab = { client, page, given: [], troubles: [] }
    client.on('test', ({ id }) => { tab.given.push(id) })
    client.on('gap', (gap) => { tab.troubles.push(`gap ${gap.reason}`) })
    client.on('error', (error) => { tab.troubles.push(error.message) })
    client.connect()
    tabs.push(tab)
    world.network.isUp = true
    // Only what is sent once it is there is owed to it.
    for (let n = 0; n < 300 && client.state !== 'connected'; n++) await world.advance(100)
    await world.advance(50)
    tab.from = sent.length
  }
  const some = () => tabs[random(tabs.length)]
  /** One that can do something. */
  const awake = () => {
    const running = tabs.filter((it) => !it.page.isStopped)
    return running[random(running.length || 1)]
  }
  const drop = (tab) => { tabs = tabs.filter((it) => it !== tab) }
  const events = {
    send: () => sent.push(world.server.send('alice', { type: 'test' })),
    everyone: () => sent.push(world.server.publish(null, { type: 'test' })),
    cut: () => world.network.cut(),
    down: () => { world.network.isUp = false },
    up: () => { world.network.isUp = true },
    open: () => tabs.length < 6 && open(),
    crash: () => {
      if (tabs.length < 2) return
      const tab = some()
      tab.page.crash()
      drop(tab)
    },
    close: () => {
      const tab = awake()
      if (tabs.length < 2 || !tab) return
      tab.client.disconnect()
      drop(tab)
    },
    stop: () => some().page.stop(),
    goOn: () => tabs.forEach((tab) => tab.page.goOn()),
    show: () => awake()?.page.show(),
  }
  await open()
  const names = Object.keys(events)
  for (let step = 0; step < 80; step++) {
    const name = random(3) ? names[random(2)] : names[random(names.length)]
    trace.push(name)
    await events[name]()
    await world.advance(random(4) ? random(20) : random(15_000))
  }
  world.network.isUp = true
  tabs.forEach((tab) => tab.page.goOn())
  tabs.forEach((tab) => tab.page.show())
  await world.advance(120_000)
  const told = `seed ${seed}: ${trace.join(' ')}`
  assert.equal(tabs.filter((tab) => tab.client.isLeader).length, 1, `leaders; ${told}`)
  assert.equal(world.network.sockets.size, 1, `sockets; ${told}`)
  for (const [n, tab] of tabs.entries()) {
    assert.equal(tab.client.state, 'connected', told)
    assert.deepEqual(tab.troubles, [], told)
    assert.equal(new Set(tab.given).size, tab.given.length, `something came twice to ${n}; ${told}`)
    const owed = sent.slice(tab.from)
    assert.deepEqual(new Set(tab.given.filter((id) => owed.includes(id))), new Set(owed), `${n}; ${told}`)
  }
}

test(`${SEEDS} lives of tabs that share a socket`, async () => {
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) await share(seed)
})
