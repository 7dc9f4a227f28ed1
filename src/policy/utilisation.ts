/**
 * Time over which a link's utilisation is averaged. A link that is shared fairly is either idle or full at any moment,
 * so that only an average over many transfers says how near to its limit it is. ASSUMPTION: threshold-control.
 */
export const UTILISATION_SECONDS = 30
