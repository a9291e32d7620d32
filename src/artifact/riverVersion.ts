/** The release of River that reads the models, and whose scores this program's are. */
export const riverVersion = "0.23.0"
