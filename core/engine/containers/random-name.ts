import { randomInt } from 'node:crypto'

const adjectives =
  'amber brave brisk calm clever cosy curious daring eager early fair fancy fleet fond frank gentle glad golden grand happy honest humble keen kind light lively lucid lucky mellow merry mild neat nimble noble plucky polite proud quick quiet ready rosy sharp shiny silent sleek smart snug solid sunny swift tidy vivid warm wise witty young zesty'.split(
    ' ',
  )
const nouns =
  'anchor badger barge beacon birch bison brook canoe cedar clipper comet condor coral crane cutter dolphin dory falcon ferry finch frigate galley gull harbor heron island jetty kayak kestrel ketch lagoon lantern lark lighter lugger lynx maple marlin mast meadow narwhal oak osprey otter pelican pier pinnace plover puffin quay raven reef rigger robin rudder schooner seal skiff sloop sparrow starling swan tern tiller trawler walrus willow wren yawl'.split(
    ' ',
  )

const pick = (words: string[]): string => words[randomInt(words.length)] ?? 'tsd'

/** A name for a container that was given none. */
export function randomName(taken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt += 1) {
    const name = `${pick(adjectives)}_${pick(nouns)}${attempt > 4 ? randomInt(10 ** Math.min(attempt, 9)) : ''}`
    if (!taken(name)) return name
  }
}
