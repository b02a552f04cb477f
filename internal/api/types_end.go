package api

// EndManyIn ends sessions by what they are: of a user, on an instance, both, or all.
type EndManyIn struct {
	Body struct {
		User     string `json:"user,omitempty" maxLength:"254" doc:"Name or id"`
		Instance string `json:"instance,omitempty" maxLength:"63" doc:"Name or id"`
		All      bool   `json:"all,omitempty" doc:"Without user and instance"`
		Reason   string `json:"reason,omitempty" maxLength:"500" doc:"The sessions' users are told"`
		After    string `json:"after,omitempty" maxLength:"200" doc:"The cursor of the answer before"`
	}
}
