/** Joins the page's parts. */
import { show } from './code.js'
import { attempt, byId } from './dom.js'
import { watch } from './operator.js'
import { createPerson, tellAll, writesTo } from './person.js'
import { offerTour } from './tour.js'

show('connect')
const alice = createPerson('alice', 'bob', 'Hello Bob')
const bob = createPerson('bob', 'alice', 'Hello Alice')
writesTo(alice, bob)
writesTo(bob, alice)

byId('broadcast').addEventListener('submit', (event) => {
  event.preventDefault()
  const { content, channel } = Object.fromEntries(new FormData(event.target))
  attempt(() => tellAll([alice, bob], content, channel || undefined))
})

offerTour({ alice, bob })
watch()
