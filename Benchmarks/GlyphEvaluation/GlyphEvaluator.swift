import Fewstep
