/**
 * carillon-client/testing: a server that speaks `carillon.v1`, in memory and in virtual time, for the tests of
 * applications. Give `world.page().scope` to the client as its `scope`.
 */
export { VirtualClock } from './clock.js'
export { FakeServer } from './server.js'
export { FakePage, FakeStorage, World } from './world.js'
