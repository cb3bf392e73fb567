// One socket for all tabs, in a real Chromium.
import { test } from 'node:test'
import { assert, browser, gives, newUser, noted, open, site, sleep, start, until } from './setup.js'

const { carillon, proxy } = await start()
const SHARED = { shared: 'yes' }

const isLeader = (page) => page.evaluate(() => window.client.isLeader)

async function leaderOf(tabs) {
  let leader
  await until(async () => {
    for (const [name, page] of tabs) if (await isLeader(page)) return leader = name
  }, () => 'nobody leads')
  return leader
}

async function openTabs(context, user, count) {
  const tabs = new Map()
  for (let n = 0; n < count; n++) tabs.set(`tab${n}`, await open(context, proxy, user, `tab${n}`, SHARED))
  return tabs
}

for (const count of [2, 10]) {
  test(`${count} tabs, of which the one that leads is closed, until one is left`, async () => {
    const user = newUser()
    const context = await browser()
    const keeper = await context.newPage()
    await keeper.goto(`${site}/else`)
    const sockets = proxy.open
    const tabs = await openTabs(context, user, count)
    assert.equal(proxy.open - sockets, 1)
    const ids = await carillon.sendMany(3, user)
    for (const name of tabs.keys()) await gives(keeper, name, ids)
    while (tabs.size > 1) {
      const name = await leaderOf(tabs)
      // Sent while nobody knows yet that it is gone, too.
      const closed = tabs.get(name).close()
      tabs.delete(name)
      ids.push(...await carillon.sendMany(3, user))
      await closed
      ids.push(...await carillon.sendMany(2, user))
      for (const other of tabs.keys()) await gives(keeper, other, ids)
    }
    assert.equal(proxy.open - sockets, 1)
  })
}

test('the page that leads crashes, five times, while notifications come', async () => {
  const user = newUser()
  const context = await browser()
  const keeper = await open(context, proxy, user, 'keeper', SHARED)
  const ids = []
  for (let round = 0; round < 5; round++) {
    const tabs = await openTabs(context, user, 1)
    tabs.set('keeper', keeper)
    // The one that will crash is to lead. (A machine that is busy for seconds can make the other take it back.)
    while (await leaderOf(tabs) === 'keeper') {
      await keeper.evaluate(() => { window.client.disconnect(); window.client.connect() })
      await sleep(500)
    }
    const session = await context.newCDPSession(tabs.get('tab0'))
    const sending = carillon.sendMany(10, user)
    await sleep(round * 5)
    session.send('Page.crash').catch(() => {})
    ids.push(...await sending)
    await gives(keeper, 'keeper', ids)
    await tabs.get('tab0').close()
  }
})

test('the page that leads is left, and comes back out of the cache of pages', async () => {
  const user = newUser()
  const context = await browser()
  const tabs = await openTabs(context, user, 2)
  const name = await leaderOf(tabs)
  const [other] = [...tabs.keys()].filter((it) => it !== name)
  const page = tabs.get(name)
  await page.goto(`${site}/else`)
  const ids = await carillon.sendMany(3, user)
  await gives(tabs.get(other), other, ids)
  await page.goBack({ waitUntil: 'commit' })
  await until(async () => (await noted(page, 'cached', name)).length === 1, () => 'it was not cached')
  await sleep(1_000)
  const more = await carillon.sendMany(3, user)
  await gives(tabs.get(other), other, [...ids, ...more])
  await until(async () => (await noted(page, 'given', name)).includes(more[2]), () => 'nothing came')
  assert.equal((await noted(page, 'given', name)).length, new Set(await noted(page, 'given', name)).size)
})
