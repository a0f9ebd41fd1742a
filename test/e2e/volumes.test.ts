import { daemonSuite } from '../fixtures/suite.js'
import { volumeTests } from '../fixtures/volumes.js'

volumeTests(daemonSuite())
