# Figures of pROC for tests/honest_numbers.rs: reads honest.json with labels and scores, adds DeLong's variances, covariance and test.
# Run by honest.py.
suppressMessages({library(pROC); library(jsonlite)})
cases <- fromJSON("honest_cases.json", simplifyVector = FALSE)
out <- lapply(cases, function(case) {
  y <- unlist(case$labels); a <- unlist(case$first); b <- unlist(case$second)
  ra <- roc(y, a, levels = c(0, 1), direction = "<", quiet = TRUE)
  rb <- roc(y, b, levels = c(0, 1), direction = "<", quiet = TRUE)
  test <- roc.test(ra, rb, method = "delong", paired = TRUE)
  list(auc = c(as.numeric(ra$auc), as.numeric(rb$auc)), variance = c(var(ra, method = "delong"), var(rb, method = "delong")),
       covariance = cov(ra, rb, method = "delong"), z = as.numeric(test$statistic), p = as.numeric(test$p.value),
       version = as.character(packageVersion("pROC")))
})
writeLines(toJSON(out, auto_unbox = TRUE, digits = NA), "honest_proc.json")
